import pytest

from reward_model.training.errors import TrainingError
from reward_model.training.preferences.samplers import PairSampler, slots_of

STEPS, BATCH = 400, 16


def sampler(schedule="smooth", clean=300, auto=700, seed=3):
    return PairSampler(clean, auto, BATCH, STEPS, schedule, seed)


def shares(pair_sampler, first, last):
    """The share of pairs of pool `auto` in steps [first, last)."""
    pools = [sample.pool for step in range(first, last) for sample in pair_sampler.samples(step)]
    return pools.count("auto") / len(pools)


def test_smooth_schedule_lowers_the_auto_share_by_a_half_cosine():
    pair_sampler = sampler()
    assert pair_sampler.alpha_T[0] == 1
    assert pair_sampler.alpha_T[STEPS // 2] == pytest.approx(0.5)
    assert pair_sampler.alpha_T[-1] < 1e-4
    for first in range(0, STEPS, 80):
        expected = pair_sampler.alpha_T[first : first + 80].mean()
        assert shares(pair_sampler, first, first + 80) == pytest.approx(expected, abs=4 * (0.25 / 80 / BATCH) ** 0.5)


def test_staged_schedule_switches_from_auto_to_clean_at_half_time():
    pair_sampler = sampler("staged")
    assert shares(pair_sampler, 0, STEPS // 2) == 1
    assert shares(pair_sampler, STEPS // 2, STEPS) == 0


def test_random_schedule_samples_pools_in_proportion_to_their_sizes():
    assert shares(sampler("random"), 0, STEPS) == pytest.approx(0.7, abs=0.03)


@pytest.mark.parametrize(("clean", "auto", "share"), [(40, 0, 0.0), (0, 40, 1.0)])
def test_single_pool_is_used_by_every_schedule(clean, auto, share):
    for schedule in ("random", "staged", "smooth"):
        assert shares(sampler(schedule, clean, auto), 0, STEPS) == share


def test_every_pair_of_a_pool_is_used_once_per_epoch():
    pair_sampler = sampler("random", 50, 70)
    indices = {"clean": [], "auto": []}
    for step in range(STEPS):
        for sample in pair_sampler.samples(step):
            indices[sample.pool].append(sample.index)
    for pool, size in (("clean", 50), ("auto", 70)):
        orders = [tuple(indices[pool][i : i + size]) for i in range(0, len(indices[pool]) - size, size)]
        assert len(orders) > 10
        assert all(sorted(order) == list(range(size)) for order in orders)
        assert len(set(orders)) == len(orders)


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_processes_together_use_the_same_pairs_as_one_process(processes):
    pair_sampler, alone = sampler(), sampler()
    for step in (0, 7, STEPS - 1):
        slots = [slot for rank in range(processes) for slot in slots_of(rank, processes, BATCH)]
        samples = pair_sampler.samples(step)
        assert [samples[slot] for slot in slots] == alone.samples(step)


def test_pairs_of_a_step_do_not_depend_on_earlier_calls():
    late, from_start = sampler(), sampler()
    for step in range(200):
        from_start.samples(step)
    assert late.samples(200) == from_start.samples(200)
    assert late.samples(200) != sampler(seed=4).samples(200)


def test_empty_pools_and_indivisible_batches_are_refused():
    with pytest.raises(TrainingError, match="both pools are empty"):
        sampler(clean=0, auto=0)
    with pytest.raises(TrainingError, match="16 pairs can't be shared by 3"):
        slots_of(0, 3, 16)
