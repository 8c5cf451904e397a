import pytest

from trainer.types import RolloutGroup


@pytest.mark.parametrize(
    ("key", "videos", "message"),
    [("", [b"mp4"], "not empty"), (5, [b"mp4"], "str"), ("a", [], "has no videos")],
)
def test_invalid_group_is_refused(key, videos, message):
    with pytest.raises(ValueError, match=message):
        RolloutGroup(key, [b"anna"], videos)
