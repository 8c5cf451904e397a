import numpy as np
import pytest

from reward_model.faces.tracks.features import clip_features
from reward_model.faces.warnings.copied_references import CopiedReference, copied_references, copy_warnings
from reward_model.types import ReferenceSet, Sample, Video
from tests.support.media import panned_portrait, portrait
from tests.support.paths import EXAMPLES, MEDIA

ANNA, BEA = (EXAMPLES / f"references/{name}.jpg" for name in ("anna", "bea"))


def test_the_reference_as_a_still_video_is_a_copy(file_clip):
    clip = file_clip(MEDIA / "frozen_reference_anna.mp4", ANNA)
    assert copied_references(clip.order, clip_features(clip)) == [CopiedReference(0, 1.0)]
    (warning,) = copy_warnings(clip.order, clip_features(clip))
    assert (warning.code, warning.reference_index) == ("reference_copy", 0)
    assert "in 100% of the sampled frames (threshold 33%)" in warning.message


def test_the_copied_reference_is_named_by_its_index_in_the_sample(file_clip):
    clip = file_clip(MEDIA / "frozen_reference_anna.mp4", BEA, ANNA)
    assert [copy.reference_index for copy in copied_references(clip.order, clip_features(clip))] == [1]


def test_a_camera_that_pans_over_the_reference_shows_a_copy(clip_reader):
    frames = panned_portrait("P001")
    video = Video(frames, 12.0, len(frames), tuple(range(len(frames))))
    sample = Sample(ReferenceSet((np.asarray(portrait("P001")),)), video)
    clip = clip_reader.read(sample)
    assert [copy.reference_index for copy in copied_references(clip.order, clip_features(clip))] == [0]


@pytest.mark.parametrize(
    "video",
    [
        MEDIA / "one_person_small.mp4",
        *(EXAMPLES / f"clips/{name}.mp4" for name in ("one_person", "one_person_expressions", "two_people")),
    ],
    ids=lambda path: path.stem,
)
def test_clips_from_other_photographs_are_no_copies(file_clip, video):
    clip = file_clip(video, ANNA, BEA)
    assert copied_references(clip.order, clip_features(clip)) == []
    assert copy_warnings(clip.order, clip_features(clip)) == []
