import numpy as np
import pytest

from identity_reward_client.errors import InvalidRequest
from identity_reward_client.messages import Image, Pixels
from identity_reward_client.wire.duplicates import refuse_duplicates


def image_of(value: int, **fields) -> Image:
    array = np.full((8, 8, 3), value, np.uint8)
    return Image(**fields) if fields else Image(pixels=Pixels(shape=list(array.shape), data=array.tobytes()))


@pytest.mark.parametrize(
    "references",
    [
        [image_of(1), image_of(2), image_of(1)],
        [image_of(0, data=b"abc"), image_of(0, data=b"abd"), image_of(0, data=b"abc")],
    ],
)
def test_the_same_image_twice_as_references_is_refused(references):
    with pytest.raises(InvalidRequest, match="references 0 and 2 are the same image") as caught:
        refuse_duplicates(references)
    assert caught.value.details == {"references": [0, 2]}


def test_different_images_of_one_size_are_different_references():
    refuse_duplicates([image_of(1), image_of(2), image_of(0, data=b"abc"), image_of(0, data=b"abcd")])
