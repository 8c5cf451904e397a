import numpy as np

from reward_model.qwen.runner.plan import lay_out, split


def test_group_computes_its_prefix_once(make):
    group = [make(video=n) for n in range(8)]
    prefix, suffix = group[0].prefix_length, len(group[0]) - group[0].prefix_length
    assert prefix > 20
    layout = lay_out(group, cached=set())
    assert layout.num_rows == prefix + 8 * suffix
    assert lay_out(group, cached={group[0].prefix_key}).num_rows == 8 * suffix
    assert list(split(group, prefix + 8 * suffix, set())) == [list(range(8))]


def test_large_group_is_split_between_suffixes_within_the_budget(make):
    group = [make(video=n) for n in range(8)]
    prefix, suffix = group[0].prefix_length, len(group[0]) - group[0].prefix_length
    batches = list(split(group, prefix + 3 * suffix, set()))
    assert sorted(n for batch in batches for n in batch) == list(range(8))
    assert len(batches[0]) == 3
    cached: set[str] = set()
    for batch in batches:
        assert lay_out([group[n] for n in batch], cached).num_rows <= prefix + 3 * suffix
        cached.add(group[0].prefix_key)


def test_group_that_fits_is_not_split(make):
    groups = [[make(images=(p,), video=n) for n in range(3)] for p in (1, 2, 3)]
    mixed = [groups[g][n] for n in range(3) for g in range(3)]
    price = lay_out(groups[0], set()).num_rows
    batches = list(split(mixed, int(price * 1.5), set()))
    assert [{mixed[n].prefix_key for n in batch} for batch in batches] == [{g[0].prefix_key} for g in groups]


def test_reward_rows_hold_the_last_tokens(make):
    batch = [make(video=1, text=4), make(images=(3,), video=2)]
    layout = lay_out(batch, set())
    ids = np.concatenate([s.token_ids[a:b] for s, a, b in layout.sources])
    last = [s.token_ids[-1] for s in (batch[n] for n in layout.order)]
    assert ids[layout.reward_rows].tolist() == last
