"""Groups: the videos of one set of references in one forward pass, and their labelled comparisons.

A pair is a group of two videos. With `data.groups` all pairs of a cast are one group, in which every video is computed
once however many pairs it is in. References are keyed by content, so that all videos of a group share their prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from identity_reward_client.errors import RewardError
from reward_model.data.records import PreferencePair, resolve
from reward_model.data.seeding import generator
from reward_model.qwen.preprocess import PreparedMedia
from reward_model.qwen.runner.sequence import TokenSequence

from ..data.casts import Pairs, comparisons_of, good_videos
from ..data.media import MediaSource
from ..errors import TrainingError
from ..supervision.face_tokens import FaceTokenFinder, FaceTokens


@dataclass(frozen=True)
class Group:
    """Sequences of one set of references.

    comparisons: (a, b, label), indices of `sequences` and +1 where a is better, 0 for a tie, -1 where b is better.
    faces: face tokens of every sequence, empty without supervision.
    """

    name: str
    sequences: tuple[TokenSequence, ...]
    comparisons: tuple[tuple[int, int, int], ...]
    faces: tuple[FaceTokens, ...] = ()


@dataclass(frozen=True)
class Augmentation:
    """Augmentation of one sample of a group; all random choices follow from `seed`."""

    seed: int
    permute_references: bool = False
    # images and videos mirrored, each with probability 1/2
    mirror: bool = False
    # number of good videos that are added once more beside other people's reference images
    num_foreign: int = 0
    # a pair of those people, with the file that names it
    others: tuple[Path, PreferencePair] | None = None


def load_group(
    media: MediaSource,
    jsonl: Path,
    pairs: Pairs,
    augmentation: Augmentation = Augmentation(0),
    find_faces: FaceTokenFinder | None = None,
) -> Group:
    """Loads the pairs of one set of references. The TrainingError of an unreadable file names it and the first pair."""
    rng = generator(augmentation.seed, "group")

    def coins(count: int) -> list[bool]:
        return (rng.random(count) < 0.5 * augmentation.mirror).tolist()

    videos, compared = comparisons_of(pairs)
    prompt, fps = pairs[0].prompt, pairs[0].fps
    name = ""
    faces: list[FaceTokens] = []
    try:
        name, paths = _references(jsonl, pairs[0])
        references = media.references(paths, coins(len(paths)))
        order = list(range(len(references)))
        if augmentation.permute_references:
            order = rng.permutation(len(references)).tolist()
        references = [references[number] for number in order]
        clips = []
        mirrored = coins(len(videos))
        for number, name in enumerate(videos):
            clips.append(media.video(resolve(jsonl, name), fps, mirrored[number]))
            if find_faces is not None:
                faces.append(find_faces(pairs[0], name, clips[-1].grid, mirrored[number], order))
        sequences = [media.preprocess.assemble(references, clip, prompt) for clip in clips]
        if augmentation.others is not None:
            name, paths = _references(*augmentation.others)
            foreign = media.references(paths, coins(len(paths)))
            for number in rng.choice(good_videos(pairs), augmentation.num_foreign).tolist():
                changed = _with_foreign(references, foreign, rng)
                compared.append((number, len(sequences), 1))
                sequences.append(media.preprocess.assemble(changed, clips[number], prompt))
                if find_faces is not None:
                    original = [n if a is b else None for n, a, b in zip(order, references, changed, strict=True)]
                    faces.append(find_faces(pairs[0], videos[number], clips[number].grid, mirrored[number], original))
    except (RewardError, OSError) as error:
        raise TrainingError(f"pair {pairs[0].pair_id} of {jsonl}: {name}: {error}") from None
    return Group(pairs[0].pair_id, tuple(sequences), tuple(compared), tuple(faces))


def comparisons(groups: Sequence[Group]) -> torch.Tensor:
    """int64 [3, C]: a, b and label of the comparisons of groups whose sequences are end to end."""
    rows, first = [], 0
    for group in groups:
        rows += [(first + a, first + b, label) for a, b, label in group.comparisons]
        first += len(group.sequences)
    return torch.tensor(rows).T


def _references(jsonl: Path, pair: PreferencePair) -> tuple[str, list[Path]]:
    """(names for an error message, paths) of a pair's references."""
    names = [reference.path for reference in pair.references]
    return ", ".join(names), [resolve(jsonl, name) for name in names]


def _with_foreign(
    references: Sequence[PreparedMedia], foreign: Sequence[PreparedMedia], rng: np.random.Generator
) -> list[PreparedMedia]:
    """References with one, or as many as `foreign` has, replaced by those of `foreign` at random indices."""
    changed = list(references)
    indices = rng.permutation(len(changed)).tolist()
    if rng.random() < 0.5:
        indices = indices[:1]
    for index, medium in zip(indices, foreign, strict=False):
        changed[index] = medium
    return changed
