"""The warnings of whole samples, by both scorers of faces."""

import json

import pytest

from reward_model.registry import load_scorer
from tests.support.paths import EXAMPLES, MEDIA

ANNA, BEA = (EXAMPLES / f"references/{name}.jpg" for name in ("anna", "bea"))
FROZEN, REAL = MEDIA / "frozen_reference_anna.mp4", MEDIA / "one_person_small.mp4"
GROUPS = json.loads((EXAMPLES / "examples.json").read_text())["groups"]
# (clip, references)
RIGHT = [
    (EXAMPLES / clip["file"], [EXAMPLES / name for name in group["references"]])
    for group in GROUPS
    for clip in group["clips"]
    if clip["right"]
]


@pytest.fixture(scope="module")
def tracks():
    return load_scorer("face-tracks")


def summary(scored) -> list[tuple[str, int | None]]:
    return [(warning.code, warning.reference_index) for warning in scored.warnings]


def test_a_real_clip_has_none(file_sample, score, scorer, tracks):
    for by in (scorer, tracks):
        assert summary(score(file_sample(REAL, ANNA), by)) == []


@pytest.mark.parametrize(("clip", "references"), RIGHT, ids=[clip.stem for clip, _ in RIGHT])
def test_example_clips_of_the_right_people_have_none(file_sample, score, scorer, tracks, clip, references):
    for by in (scorer, tracks):
        assert summary(score(file_sample(clip, *references), by)) == []


def test_copies_are_seen_by_face_tracks_only(file_sample, score, scorer, tracks):
    sample = file_sample(FROZEN, ANNA)
    assert summary(score(sample, scorer)) == [("still_video", None)]
    assert summary(score(sample, tracks)) == [("reference_copy", 0), ("still_video", None)]


@pytest.mark.parametrize("order", [(ANNA, BEA), (BEA, ANNA)], ids=["anna first", "bea first"])
def test_people_are_named_by_the_index_of_their_reference(file_sample, score, scorer, tracks, order):
    for by in (scorer, tracks):
        assert summary(score(file_sample(REAL, *order), by)) == [("person_rarely_seen", order.index(BEA))]
