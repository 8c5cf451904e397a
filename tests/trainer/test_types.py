import pytest

from trainer.types import RolloutGroup


@pytest.mark.parametrize(
    ("key", "videos", "says"),
    [("", [b"mp4"], "not empty"), (5, [b"mp4"], "str"), ("a", [], "has no videos")],
)
def test_invalid_group_is_refused(key, videos, says):
    with pytest.raises(ValueError, match=says):
        RolloutGroup(key, [b"anna"], videos)
