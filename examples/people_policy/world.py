"""The world that the policy is pretrained on: clips of people of which most mix people up, as real video models do.

B clips, P people of a clip, K key frames, C = CODE_SIZE.

kind        share  two people                                     one person
exchanged   0.25   the two exchange identities in mid-clip        another person takes over in mid-clip
replaced    0.20   one of them is another person throughout       the same
blended     0.15   one or both are a mixture of the two           a mixture with another person
drifting    0.10   one of them becomes another person by and by   the same
right       0.30   everybody is who they should be                the same

Other people are of the same sex. Places, clothes and builds stay, as in `reward_model.data.people.corruptions`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reward_model.data.people.appearance.person import NUM_SHAPE
from reward_model.data.people.appearance.person_code import CODE_SIZE

SHARES = {"exchanged": 0.25, "replaced": 0.20, "blended": 0.15, "drifting": 0.10, "right": 0.30}
# numbers of a code that people between two people have in between; the rest, hair, beard and glasses, are the nearer's
NUM_BLENDED = NUM_SHAPE + 3 + 4 * 3 + 2
# deviation of each number of a key frame from its person
NOISE = 0.1


@dataclass(frozen=True)
class Casts:
    """own, others: [B, P, C] codes of the people of each clip, and of another person of the same sex for each.

    own_BP: [B, P] rows of `own` among all people.
    """

    own_BP: np.ndarray
    own_BPC: np.ndarray
    others_BPC: np.ndarray


def is_man(codes: np.ndarray) -> np.ndarray:
    """[..] bool of codes [.., C]."""
    return codes[..., NUM_SHAPE] >= 0


def sample_casts(rng: np.random.Generator, codes_NC: np.ndarray, count: int, num_people: int) -> Casts:
    """Casts of different people out of N, and others who are in none of their clips."""
    own = np.stack([rng.choice(len(codes_NC), num_people, replace=False) for _ in range(count)])
    others = rng.integers(len(codes_NC), size=own.shape)

    def unusable() -> np.ndarray:
        is_own = (others[:, :, None] == own[:, None]).any(-1)
        return is_own | (is_man(codes_NC[others]) != is_man(codes_NC[own]))

    while (wrong := unusable()).any():
        others[wrong] = rng.integers(len(codes_NC), size=int(wrong.sum()))
    return Casts(own, codes_NC[own], codes_NC[others])


def sample_kinds(rng: np.random.Generator, count: int) -> np.ndarray:
    """[count] names of kinds."""
    return rng.choice(list(SHARES), count, p=list(SHARES.values()))


def sample_clips(rng: np.random.Generator, casts: Casts, kinds: np.ndarray, num_key_frames: int) -> np.ndarray:
    """[B, P, K, C] float32: clips of these kinds."""
    num_people = casts.own_BPC.shape[1]
    clips = np.repeat(casts.own_BPC[:, :, None], num_key_frames, axis=2)
    for index, kind in enumerate(kinds):
        own, others = casts.own_BPC[index], casts.others_BPC[index]
        # whom they are taken for
        mistaken = own[::-1] if num_people > 1 and kind in ("exchanged", "blended") else others
        person = int(rng.integers(num_people))
        affected = np.arange(num_people) == person
        share_K = np.zeros(num_key_frames)
        if kind == "exchanged":
            affected[:] = True
            share_K[int(rng.choice([1, 2, 2, 3])) * num_key_frames // 4 :] = 1.0
        elif kind == "replaced":
            share_K[:] = 1.0
        elif kind == "blended":
            affected |= rng.uniform() < 0.5
            share_K[:] = rng.uniform(0.35, 0.65)
        elif kind == "drifting":
            share_K = np.linspace(0, rng.uniform(0.7, 1.0), num_key_frames)
        clips[index, affected] = blend(own[affected, None], mistaken[affected, None], share_K[:, None])
    return (clips + NOISE * rng.standard_normal(clips.shape)).astype(np.float32)


def blend(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Codes [.., C] at `share` [.., 1] of the way from a to b, as `appearance.sampling.blend_people` has people."""
    between = a * (1 - share) + b * share
    nearer = np.where(share < 0.5, a, b)
    return np.where(np.arange(CODE_SIZE) < NUM_BLENDED, between, nearer)
