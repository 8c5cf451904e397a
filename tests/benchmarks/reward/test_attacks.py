import json
from argparse import Namespace

import numpy as np
import pytest

from benchmarks.reward.attacks import CastRewards, copy_rows, measure, measure_cast, search_row
from benchmarks.reward.copy_attacks import ATTACKS
from benchmarks.reward.search import OPERATIONS, SearchResult


def test_every_attack_on_photographed_people_loses_to_every_honest_clip():
    """A slice of the benchmark: two casts, whose 88 pairs and more hold in the committed run."""
    for index in (0, 1):
        rewards = CastRewards(**measure_cast(index, "OpenPeople", "face-tracks"))
        assert set(rewards.attacks) == set(ATTACKS)
        assert {name for name, attacked in rewards.attacks.items() if attacked >= min(rewards.honest)} == set()
        assert rewards.held == [0.0] * len(rewards.honest)


def test_rows_count_the_pairs_that_the_honest_clip_wins():
    rewards = [CastRewards([4.0, 2.0], {"still": 3.0}, [0.0, 0.4]), CastRewards([1.0], {"still": 0.5}, [0.0])]
    still, held = copy_rows("OpenPeople", rewards)
    assert (still.name, still.unit) == ("OpenPeople: still", "of 3 pairs that the honest clip wins")
    assert (still.ours, held.ours) == (pytest.approx(2 / 3, abs=1e-4), pytest.approx(2 / 3, abs=1e-4))


def test_search_row_compares_the_best_attack_with_the_median_honest_clip():
    frame = np.zeros((240, 416, 3), np.uint8)
    results = [
        SearchResult(0.0, 3.0, 4.0, ("crop",), frame, frame[:, :240]),
        SearchResult(0.0, 5.0, 4.0, (), frame, frame[:, :240]),
    ]
    row = search_row(["P001", "P002"], results)
    assert row.ours == 0.5
    assert row.more["people"]["P001"] == {"best": 3.0, "start": 0.0, "median_honest": 4.0, "operations": ["crop"]}


def test_search_results_survive_json():
    rng = np.random.default_rng(2)
    frame, reference = (rng.integers(0, 256, (side, side + 40, 3), dtype=np.uint8) for side in (60, 32))
    result = SearchResult(0.0, 3.0, 4.0, ("crop", "blur"), frame, reference)
    again = SearchResult.from_json(json.loads(json.dumps(result.to_json())))
    assert (again.best_reward, again.operations) == (3.0, ("crop", "blur"))
    assert np.array_equal(again.best_frame_HWC, frame)
    assert np.array_equal(again.reference_HWC, reference)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_operations_keep_the_size_and_change_the_image(operation):
    rng = np.random.default_rng(1)
    image, reference = (rng.integers(0, 256, (side, side + 40, 3), dtype=np.uint8) for side in (120, 64))
    changed = operation(image, reference, rng)
    assert (changed.shape, changed.dtype) == (image.shape, np.uint8)
    assert not np.array_equal(changed, image)


@pytest.mark.slow
def test_a_small_run_writes_rows_and_pictures(tmp_path):
    picture = tmp_path / "attacks.jpg"
    partial = tmp_path / "partial.jsonl"
    arguments = Namespace(model="face-tracks", casts=1, queries=2, workers=2, pictures=picture, partial=partial)
    rows = measure(arguments)
    assert len(rows) == 2 * (len(ATTACKS) + 1) + 1
    assert picture.stat().st_size > 10_000
    # a header, a cast of each world, ten people
    lines = partial.read_text()
    assert len(lines.splitlines()) == 13
    assert measure(arguments) == rows
    assert partial.read_text() == lines
