import numpy as np
import pytest

from identity_reward_client.messages import Image, Pixels, ReferenceSet, ScoreRequest, Video
from identity_reward_client.wire.content_ids import reference_set_id, references_of, video_id

RAMP = np.broadcast_to(np.arange(10, dtype=np.uint8)[:, None, None, None] * 20, (10, 32, 32, 3)).copy()


def frames(array, **more) -> Video:
    return Video(frames=Pixels(shape=list(array.shape), data=array.tobytes()), **({"fps": 5} | more))


def test_content_ids_are_equal_for_equal_content_only():
    ids = {
        video_id(video)
        for video in (
            frames(RAMP), frames(RAMP, fps=6), frames(RAMP[::-1]), Video(data=b"a"), Video(data=b"b"),
            Video(images=[Image(data=b"a")], fps=5), Video(images=[Image(data=b"a")] * 2, fps=5),
            frames(RAMP.reshape(5, 64, 32, 3)), Video(data=b"a", fps=3),
        )
    }  # fmt: skip
    assert len(ids) == 9
    assert video_id(frames(RAMP)) == video_id(frames(RAMP.copy()))
    assert video_id(Video(data=b"abc")) == video_id(Video(data=memoryview(b"abc")))


def test_video_with_an_id_has_that_content_id():
    name = video_id(Video(data=b"abc"))
    assert video_id(Video(id=name)) == name


def test_url_has_no_content_id():
    with pytest.raises(ValueError, match="a URL or path has no content"):
        video_id(Video(url="https://example.com/a.mp4"))


def test_id_of_a_set_depends_on_images_and_order():
    a, b = Image(data=b"one"), Image(pixels=Pixels(shape=[1, 1, 3], data=b"two"))
    assert reference_set_id([a, b]) != reference_set_id([b, a])
    assert reference_set_id([a]) == reference_set_id([Image(data=memoryview(b"one"))])


def test_messages_have_the_id_of_their_reference_set_unless_it_has_urls():
    images, clip = [Image(data=b"one"), Image(data=b"two")], Video(data=b"abc")
    set_id = reference_set_id(images)
    assert references_of(ReferenceSet(images=images)) == set_id
    assert references_of(ScoreRequest(references=images, video=clip)) == set_id
    assert references_of(ScoreRequest(references=set_id, video=clip)) == set_id
    assert references_of(ScoreRequest(references=[Image(url="https://example.com/a.jpg")], video=clip)) is None
    assert references_of(clip) is None
