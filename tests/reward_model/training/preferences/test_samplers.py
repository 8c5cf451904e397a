import pytest

from reward_model.training.errors import TrainingError
from reward_model.training.preferences.samplers import PairSampler, slots_of

STEPS, BATCH = 400, 16


def sampler(schedule="smooth", clean=300, auto=700, seed=3):
    return PairSampler(clean, auto, BATCH, STEPS, schedule, seed)


def shares(made, first, last):
    """The share of `auto` in steps [first, last)."""
    draws = [draw.pool for step in range(first, last) for draw in made.draws(step)]
    return draws.count("auto") / len(draws)


def test_smooth_goes_down_by_a_half_cosine():
    made = sampler()
    assert made.alpha_T[0] == 1
    assert made.alpha_T[STEPS // 2] == pytest.approx(0.5)
    assert made.alpha_T[-1] < 1e-4
    for first in range(0, STEPS, 80):
        expected = made.alpha_T[first : first + 80].mean()
        assert shares(made, first, first + 80) == pytest.approx(expected, abs=4 * (0.25 / 80 / BATCH) ** 0.5)


def test_staged_is_two_halves():
    made = sampler("staged")
    assert shares(made, 0, STEPS // 2) == 1
    assert shares(made, STEPS // 2, STEPS) == 0


def test_random_is_the_two_pools_as_one():
    assert shares(sampler("random"), 0, STEPS) == pytest.approx(0.7, abs=0.03)


@pytest.mark.parametrize(("clean", "auto", "share"), [(40, 0, 0.0), (0, 40, 1.0)])
def test_one_pool_alone_is_all_there_is(clean, auto, share):
    for schedule in ("random", "staged", "smooth"):
        assert shares(sampler(schedule, clean, auto), 0, STEPS) == share


def test_no_pair_comes_twice_before_all_came_once():
    made = sampler("random", 50, 70)
    came = {"clean": [], "auto": []}
    for step in range(STEPS):
        for draw in made.draws(step):
            came[draw.pool].append(draw.index)
    for pool, size in (("clean", 50), ("auto", 70)):
        orders = [tuple(came[pool][i : i + size]) for i in range(0, len(came[pool]) - size, size)]
        assert len(orders) > 10
        assert all(sorted(order) == list(range(size)) for order in orders)
        assert len(set(orders)) == len(orders)


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_any_number_of_processes_sees_the_same_pairs(processes):
    made, alone = sampler(), sampler()
    for step in (0, 7, STEPS - 1):
        slots = [slot for rank in range(processes) for slot in slots_of(rank, processes, BATCH)]
        draws = made.draws(step)
        assert [draws[slot] for slot in slots] == alone.draws(step)


def test_a_step_is_the_same_whatever_was_asked_before():
    late, from_start = sampler(), sampler()
    for step in range(200):
        from_start.draws(step)
    assert late.draws(200) == from_start.draws(200)
    assert late.draws(200) != sampler(seed=4).draws(200)


def test_nothing_to_draw_from_and_batches_that_cannot_be_shared():
    with pytest.raises(TrainingError, match="both pools are empty"):
        sampler(clean=0, auto=0)
    with pytest.raises(TrainingError, match="16 pairs can't be shared by 3"):
        slots_of(0, 3, 16)
