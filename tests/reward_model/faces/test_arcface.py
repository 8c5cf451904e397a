import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from identity_reward_client.errors import NonFiniteReward, ReferenceWithoutFace
from reward_model.faces.arcface import ArcFaceScorer, Similarities
from reward_model.registry import load_scorer
from reward_model.types import ReferenceSet, Sample


def test_right_people_score_above_a_replaced_and_a_missing_one(sample, score):
    frames = lambda *people: [people] * 2  # noqa: E731
    both, replaced, missing, both_replaced = (
        score(sample((1, 5), *frames(*people))).reward for people in [(1, 5), (1, 8), (1, None), (8, 9)]
    )
    assert both > 0.6
    assert both > replaced + 0.15
    assert replaced > missing
    assert both > both_replaced + 0.2


def test_score_does_not_change_when_people_change_places(sample, score):
    changing = score(sample((1, 5), (1, 5), (5, 1)))
    still = score(sample((1, 5), (1, 5), (1, 5)))
    # the panels' edges touch other pixels, which may move the boxes slightly
    assert changing.reward == pytest.approx(still.reward, abs=0.02)
    assert all(s > 0.5 for person in changing.details["people"] for s in person["frame_similarities"])


def test_absent_person_counts_as_zero_and_is_reported(sample, score):
    scored = score(sample((1, 5), (1, 5), (1, None), (None, None), (1, 5)))
    first, second = scored.details["people"]
    assert [s is None for s in first["frame_similarities"]] == [False, False, True, False]
    assert [s is None for s in second["frame_similarities"]] == [False, True, True, False]
    assert (first["coverage"], second["coverage"]) == (0.75, 0.5)
    assert second["similarity"] == pytest.approx(sum(s or 0 for s in second["frame_similarities"]) / 4)
    assert scored.reward == pytest.approx((first["similarity"] + second["similarity"]) / 2)
    assert scored.details["num_frame_faces"] == [2, 1, 0, 2]


def test_clip_without_any_face_scores_zero(sample, score):
    scored = score(sample((1,), (None,), (None,)))
    assert scored.reward == 0
    assert scored.details["people"][0]["coverage"] == 0


def test_variants_summarize_the_same_similarities(sample, score):
    clip = sample((1, 5), (1, None), (1, 5), (None, None))
    scores = {
        "mean": score(clip, load_scorer("arcface")),
        "minimum": score(clip, load_scorer("arcface-minimum")),
        "best_frame": score(clip, load_scorer("arcface-best-frame")),
    }
    for variant, scored in scores.items():
        assert scored.reward == scored.details["variants"][variant]
        assert scored.details == scores["mean"].details
    similarities = np.array([p["frame_similarities"] for p in scores["mean"].details["people"]], float)
    similarities_PT = np.nan_to_num(similarities)
    assert scores["mean"].reward == pytest.approx(similarities_PT.mean())
    assert scores["minimum"].reward == pytest.approx(similarities_PT.mean(1).min())
    assert scores["best_frame"].reward == pytest.approx(similarities_PT.mean(0).max())
    assert scores["mean"].details["best_frame_index"] == 1


def test_details_are_plain_json(sample, score):
    details = score(sample((1, 5), (1, None))).details
    assert json.loads(json.dumps(details, allow_nan=False)) == details


@pytest.mark.parametrize("order", [(5, 1, 9), (9, 5, 1), (1, 9, 5)])
def test_order_of_references_only_reorders_the_people(sample, score, order):
    frames = (1, 5, 8), (5, None, 9)
    base, other = score(sample((1, 5, 9), *frames)), score(sample(order, *frames))
    for variant, value in base.details["variants"].items():
        assert other.details["variants"][variant] == pytest.approx(value, abs=1e-12)
    by_person = {person: entry["similarity"] for person, entry in zip(order, other.details["people"], strict=True)}
    assert [by_person[person] for person in (1, 5, 9)] == [entry["similarity"] for entry in base.details["people"]]


def test_reference_without_a_face_is_named_with_its_size(scorer, sample):
    good = sample((1,), (1,))
    blank = np.full((300, 400, 3), 200, np.uint8)
    references = ReferenceSet((good.references.images[0], blank))
    for _ in range(2):  # the second time from the cache
        with pytest.raises(ReferenceWithoutFace, match=r"reference 1 .*400 x 300") as caught:
            scorer.preprocess(replace(good, references=references))
        assert caught.value.details == {"reference_index": 1, "width": 400, "height": 300}


def test_largest_face_of_a_reference_is_used_and_the_number_of_faces_reported(photograph, scene, sample, score):
    near, far = photograph(1, "studio_portrait"), scene(5)
    crowded = np.full((1024, 1400, 3), 128, np.uint8)
    crowded[:, :1024] = near
    crowded[200:680, 1060:1380] = far
    clip = replace(sample((1,), (1,)), references=ReferenceSet((crowded,)))
    scored = score(clip)
    assert scored.details["people"][0]["num_reference_faces"] == 2
    assert scored.reward == pytest.approx(score(sample((1,), (1,))).reward, abs=0.05)


def test_score_does_not_depend_on_other_samples_of_the_batch(scorer, sample):
    clips = [sample((1, 5), (1, 5)), sample((9,), (1, 5), (9, None)), sample((5, 8, 1), (None, 1), (8, 5))]
    alone = [scorer.postprocess(scorer.forward([scorer.preprocess(clip)])[0]) for clip in clips]
    together = scorer.forward([scorer.preprocess(clip) for clip in reversed(clips)])
    assert [scorer.postprocess(raw) for raw in reversed(together)] == alone


def test_four_threads_get_the_scores_of_one(sample, scorer, score):
    clips = [sample((1, 5), (1, 5)), sample((5,), (5,)), sample((9, 8), (8, 9)), sample((1,), (None,))]
    one_by_one = [score(clip) for clip in clips]
    fresh = ArcFaceScorer(scorer.reader)
    start = threading.Barrier(4)

    def run(first):
        start.wait()
        return [score(clip, fresh) for clip in clips[first:] + clips[:first]]

    with ThreadPoolExecutor(4) as pool:
        for first, scores in enumerate(pool.map(run, range(4))):
            assert scores == one_by_one[first:] + one_by_one[:first]


def test_repeated_frame_is_read_once(scorer, sample):
    clip = sample((1,), (1,), (1,), (1,))
    faces = scorer.preprocess(Sample(clip.references, replace(clip.video, frame_indices=(0, 0, 2))))
    assert faces.frames[0] is faces.frames[1]
    assert len(faces.frames) == 3


def test_similarities_that_are_not_finite_are_an_error(scorer, sample):
    references = scorer.preprocess(sample((1,), (1,))).references
    with pytest.raises(NonFiniteReward):
        scorer.postprocess(Similarities(np.array([[np.inf]]), references, (1,), (0,)))


def test_details_hint_at_a_reference_that_lies_on_its_side(sample, score):
    upright = sample((1,), (1,))
    sideways = ReferenceSet((np.ascontiguousarray(np.rot90(upright.references.images[0])),))
    [good], [bad] = (score(clip).details["people"] for clip in (upright, replace(upright, references=sideways)))
    assert (good["reference_rotation_degrees"], bad["reference_rotation_degrees"]) == (0, 90)
    assert 0 < bad["reference_face_score"] < good["reference_face_score"] <= 1


def test_info_describes_each_variant():
    infos = [load_scorer(name).info for name in ("arcface", "arcface-minimum", "arcface-best-frame")]
    assert [info.name for info in infos] == ["arcface", "arcface-minimum", "arcface-best-frame"]
    assert len({info.fingerprint for info in infos}) == 3
    assert infos == [load_scorer(info.name).info for info in infos]
    for info in infos:
        assert (info.domain, info.device, info.frame_sampling.name) == ("photographs", "cpu", "uniform-8")
        assert info.frame_sampling.count(100, 16.0) == 8
        assert info.meaningful


def test_unknown_variant_is_refused(scorer):
    with pytest.raises(ValueError, match=r"'median'.*mean, minimum, best_frame"):
        ArcFaceScorer(scorer.reader, "median")
