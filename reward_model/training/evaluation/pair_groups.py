"""Groups of preference pairs that are reported by themselves: one for each corruption, and some across corruptions.

The groups across corruptions are those of pairs whose records describe both clips (`meta["a"]`, `meta["b"]`, as
`identity-reward data people` writes them).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reward_model.data.records import PreferencePair

from ..data.pairs import signs_of

# one clip has no corruption and the other one has
ONE_RIGHT = "right against corrupted"
# both have: which is worse is a matter of the weights of corruptions
BOTH_CORRUPTED = "both corrupted"
# of ONE_RIGHT, only the right clip is filmed with nuisances
BADLY_FILMED = "right but badly filmed"
# ties of clips without corruptions, of which at least one is filmed with nuisances
TIES_OF_FILMING = "ties of filming"


def pair_groups(pairs: Sequence[PreferencePair]) -> dict[str, np.ndarray]:
    """Name -> bool [N]; only groups that have a pair. A pair without a corruption in its record is in "all"."""
    names_N = np.array([str(pair.meta.get("mode") or "all") for pair in pairs])
    groups = {name: names_N == name for name in sorted({*names_N.tolist()})}
    described_N = np.array([_is_described(pair) for pair in pairs])
    if not described_N.any():
        return groups
    signs_N = signs_of(pairs)
    (corrupted_a, filmed_a), (corrupted_b, filmed_b) = (_sides(pairs, side) for side in "ab")
    better_filmed = np.where(signs_N > 0, filmed_a & ~filmed_b, filmed_b & ~filmed_a)
    one_right = described_N & (corrupted_a != corrupted_b)
    across = {
        ONE_RIGHT: one_right,
        BOTH_CORRUPTED: described_N & corrupted_a & corrupted_b,
        BADLY_FILMED: one_right & (signs_N != 0) & better_filmed,
        TIES_OF_FILMING: described_N & ~corrupted_a & ~corrupted_b & (filmed_a | filmed_b) & (signs_N == 0),
    }
    return groups | {name: mask_N for name, mask_N in across.items() if mask_N.any()}


def _is_described(pair: PreferencePair) -> bool:
    return all(isinstance(pair.meta.get(side), dict) and "modes" in pair.meta[side] for side in "ab")


def _sides(pairs: Sequence[PreferencePair], side: str) -> tuple[np.ndarray, np.ndarray]:
    """([N] the clip has a corruption, [N] it has a nuisance); False where the record doesn't say."""
    described = [pair.meta[side] if _is_described(pair) else {} for pair in pairs]
    return np.array([bool(d.get("modes")) for d in described]), np.array([bool(d.get("nuisances")) for d in described])
