"""Who is in a clip by its latents: exact, without rendering and without a reward model.

B clips, P people, K key frames, C = CODE_SIZE, N people of a pool.

The distance of two codes is the root of the mean of four terms, each 1 on average for two random people: the shape of
the face (squared displacement of its surface), colours, build (sex, age, weight, brows, freckles), and styles (hair,
beard, glasses). So 0 is the same person and about 1 a stranger.

The state of a person at a key frame:

blended    in casts of two: near the line between the two people, in its middle; in casts of one: between SAME and
           STRANGER from their own code, since it is not known with whom
right      within SAME of their own code, and nearer to it than to the other person of the cast
exchanged  the same for the other person's code
replaced   otherwise

What a portrait shows of a person is less than a code says: people whom the policy gets right are about half as far from
their own codes as strangers are. SAME lies in the gap; `own_rank` is stricter and needs no threshold.

The kind of a clip: `right` if everybody is right throughout; else `exchanged` if anybody is at any key frame; else
`drifting` if somebody is right at first and not in the end; else `blended` if anybody is; else `replaced`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from reward_model.data.people.appearance.person import NUM_SHAPE
from reward_model.data.people.appearance.person_code import CODE_SIZE, person_code, person_from_code
from reward_model.data.people.appearance.sampling import sample_person
from reward_model.data.people.meshes.basis import load_basis

from .world import NUM_BLENDED

SAME, STRANGER = 0.68, 0.8
# of the line from one person of a cast to the other
MIDDLE = (0.375, 0.625)
# from that line
NEAR_LINE = 0.55
KINDS = ("right", "exchanged", "replaced", "blended", "drifting")
POOL_SIZE = 64
_POOL_SEED = 640_000


@dataclass(frozen=True)
class Truth:
    """What latents show. states: [B, P, K] names. kinds: [B] names.

    distances: [B, P, K] to the own code. own_rank: [B, P, K] how many people of cast and pool are nearer than they
    themselves.
    """

    states: np.ndarray
    kinds: np.ndarray
    distances: np.ndarray
    own_rank: np.ndarray

    def summary(self) -> dict[str, float]:
        """Shares and means over all clips."""
        right = self.states == "right"
        return {
            "right_clips": float((self.kinds == "right").mean()),
            "right_people": float(right.all(2).mean()),
            "right_key_frames": float(right.mean()),
            "own_nearest": float((self.own_rank == 0).mean()),
            "distance": float(self.distances.mean()),
            **{f"share_{kind}": float((self.kinds == kind).mean()) for kind in KINDS if kind != "right"},
        }


@cache
def weights() -> np.ndarray:
    """[C] of squared differences of codes, such that their weighted sum is the squared distance."""
    basis = load_basis()
    rest = basis.points[basis.shape_rows].astype(np.float64)
    # pictures do not show where a head is at rest and how large it is, which the renderer normalizes
    frame = np.concatenate([np.tile(np.eye(3), (len(rest), 1)), (rest - rest.mean(0)).reshape(-1, 1)], 1)
    moved = basis.shape.reshape(NUM_SHAPE, -1).T.astype(np.float64)
    moved = moved - frame @ np.linalg.lstsq(frame, moved, rcond=None)[0]
    importance = np.concatenate([(moved**2).sum(0), np.ones(CODE_SIZE - NUM_SHAPE)])
    group = np.repeat([0, 2, 1, 2, 3], [NUM_SHAPE, 3, 12, 2, CODE_SIZE - NUM_SHAPE - 17])
    codes_NC = sample_codes(_POOL_SEED, 512)
    squares_C = np.square(codes_NC[::2] - codes_NC[1::2]).mean(0) * importance
    per_group = np.bincount(group, squares_C)
    return importance / (per_group[group] * len(per_group))


def sample_codes(seed: int, count: int) -> np.ndarray:
    """[count, C] float32 codes of random people."""
    return np.stack([true_code(seed, f"pool {n}") for n in range(count)])


def true_code(seed: int, name: str) -> np.ndarray:
    """[C] of a random person, as codes represent them: frames of glasses and density of beards are those of all."""
    return person_code(person_from_code(person_code(sample_person(seed, name)), name))


@cache
def pool() -> np.ndarray:
    """[N, C] people who are in no cast."""
    return sample_codes(_POOL_SEED + 1, POOL_SIZE)


def normalized(codes: np.ndarray) -> np.ndarray:
    """Codes [.., C] as a renderer sees them: numbers within their ranges, styles the nearest ones."""
    flat = codes.reshape(-1, CODE_SIZE)
    return np.stack([person_code(person_from_code(code, "")) for code in flat]).reshape(codes.shape)


def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[..] of codes [.., C]: 0 the same person, about 1 a random other one."""
    return np.sqrt((np.square(a - b) * weights()).sum(-1))


def judge(latents_BPKC: np.ndarray, own_BPC: np.ndarray) -> Truth:
    """What clips with these latents show, given the codes of the people of their casts."""
    codes = normalized(latents_BPKC)
    own = own_BPC[:, :, None]
    d_own = distance(codes, own)
    rank = (distance(codes[..., None, :], pool()) < d_own[..., None]).sum(-1)
    if own_BPC.shape[1] == 1:
        d_other, is_between = np.full_like(d_own, np.inf), (d_own > SAME) & (d_own < STRANGER)
    else:
        other = own_BPC[:, ::-1, None]
        d_other = distance(codes, other)
        is_between = _is_between(codes, own, other)
        rank = rank + (d_other < d_own)
    states = np.full(d_own.shape, "replaced", dtype="<U9")
    states[(d_other < d_own) & (d_other <= SAME)] = "exchanged"
    states[(d_own <= d_other) & (d_own <= SAME)] = "right"
    states[is_between] = "blended"
    return Truth(states, _kinds(states), d_own, rank)


def _is_between(codes: np.ndarray, own: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether codes lie near the middle of the line from `own` to `other`."""
    # styles of a mixture are those of the nearer person
    w = weights() * (np.arange(CODE_SIZE) < NUM_BLENDED)
    line = other - own
    share = ((codes - own) * line * w).sum(-1) / np.maximum((np.square(line) * w).sum(-1), 1e-9)
    off_line = np.sqrt((np.square(codes - own - share[..., None] * line) * w).sum(-1))
    return (share > MIDDLE[0]) & (share < MIDDLE[1]) & (off_line <= NEAR_LINE)


def _kinds(states_BPK: np.ndarray) -> np.ndarray:
    right = states_BPK == "right"
    kinds = np.full(len(states_BPK), "replaced", dtype="<U9")
    kinds[(states_BPK == "blended").any((1, 2))] = "blended"
    kinds[(right[:, :, 0] & ~right[:, :, -1]).any(1)] = "drifting"
    kinds[(states_BPK == "exchanged").any((1, 2))] = "exchanged"
    kinds[right.all((1, 2))] = "right"
    return kinds
