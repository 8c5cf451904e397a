import pytest

from trainer.errors import PolicyError
from trainer.policies.wan.options import WanOptions, read_options


def test_defaults_are_the_papers():
    options = read_options(WanOptions, {"checkpoint": "a"})
    assert (options.num_frames, options.width, options.height) == (33, 416, 240)


def test_everything_that_is_wrong_is_listed():
    with pytest.raises(PolicyError) as error:
        read_options(WanOptions, {"dtype": "float16", "frames": 3})
    message = str(error.value)
    for part in ("checkpoint: Field required", "dtype: Input should be", "frames: Extra inputs", "prompt_cache"):
        assert part in message
