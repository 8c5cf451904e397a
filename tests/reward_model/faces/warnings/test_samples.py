"""The warnings of whole samples, by both scorers of faces."""

import pytest

from reward_model.registry import load_scorer
from tests.support.paths import EXAMPLES, MEDIA

ANNA, BEA = (EXAMPLES / f"references/{name}.jpg" for name in ("anna", "bea"))
FROZEN, REAL = MEDIA / "frozen_reference_anna.mp4", MEDIA / "one_person_small.mp4"


@pytest.fixture(scope="module")
def tracks():
    return load_scorer("face-tracks")


def summary(scored) -> list[tuple[str, int | None]]:
    return [(warning.code, warning.reference_index) for warning in scored.warnings]


def test_a_real_clip_has_none(file_sample, score, scorer, tracks):
    for by in (scorer, tracks):
        assert summary(score(file_sample(REAL, ANNA), by)) == []


def test_copies_are_seen_by_face_tracks_only(file_sample, score, scorer, tracks):
    sample = file_sample(FROZEN, ANNA)
    assert summary(score(sample, scorer)) == [("still_video", None)]
    assert summary(score(sample, tracks)) == [("reference_copy", 0), ("still_video", None)]


@pytest.mark.parametrize("order", [(ANNA, BEA), (BEA, ANNA)], ids=["anna first", "bea first"])
def test_people_are_named_by_the_index_of_their_reference(file_sample, score, scorer, tracks, order):
    for by in (scorer, tracks):
        assert summary(score(file_sample(REAL, *order), by)) == [("person_rarely_seen", order.index(BEA))]
