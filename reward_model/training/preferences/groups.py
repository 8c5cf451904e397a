"""What is computed together: the videos of one set of references, and the pairs that are known of them.

A pair is a group of two. With `data.groups` all pairs of a cast make one group, in which every video is computed once
however many pairs it is in. References are keyed by content, so that all videos of a group share their prefix.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from identity_reward_client.errors import RewardError
from reward_model.data.records import PreferencePair, resolve
from reward_model.data.seeding import generator
from reward_model.qwen.preprocess import PreparedMedia
from reward_model.qwen.runner.sequence import TokenSequence

from ..errors import TrainingError
from ..vision_pretraining.face_tokens import HeadFinder, KnownHeads
from .dataset import sign
from .media import MediaSource

Pairs = tuple[PreferencePair, ...]


@dataclass(frozen=True)
class Group:
    """`comparisons`: (a, b, label), numbers of `sequences` and +1 where a is better, 0 for a tie, -1.

    `heads`: of every sequence, where they were asked for.
    """

    name: str
    sequences: tuple[TokenSequence, ...]
    comparisons: tuple[tuple[int, int, int], ...]
    heads: tuple[KnownHeads, ...] = ()


@dataclass(frozen=True)
class Augmentation:
    """What one draw of a group changes; all of it follows from `seed`."""

    seed: int
    permute_references: bool = False
    # pictures and videos mirrored, each by a coin of its own
    mirror: bool = False
    # videos shown once more beside other people's pictures
    foreign: int = 0
    # whose pictures: pairs of another group, with the file that names them
    others: tuple[Path, PreferencePair] | None = None


def by_cast(pairs: Iterable[PreferencePair]) -> list[Pairs]:
    """Pairs of the same cluster, references, prompt and rate together, in the order of their first."""
    groups: dict[tuple, list[PreferencePair]] = {}
    for pair in pairs:
        key = (pair.cluster, pair.prompt, pair.fps, tuple(reference.path for reference in pair.references))
        groups.setdefault(key, []).append(pair)
    return [tuple(group) for group in groups.values()]


def compared(pairs: Pairs) -> tuple[list[str], list[tuple[int, int, int]]]:
    """The distinct videos of the pairs, and their comparisons as in `Group`."""
    videos = list(dict.fromkeys(path for pair in pairs for path in (pair.video_a, pair.video_b)))
    return videos, [(videos.index(pair.video_a), videos.index(pair.video_b), sign(pair)) for pair in pairs]


def good_videos(pairs: Pairs) -> list[int]:
    """Numbers of the videos that some comparison calls the better one and none the worse one. Where records tell how
    a video fails (`meta`), it must not fail at all: the better one of two failures is no good video."""
    videos, comparisons = compared(pairs)
    decided = [(a, b) if label > 0 else (b, a) for a, b, label in comparisons if label]
    winners, losers = {winner for winner, _ in decided}, {loser for _, loser in decided}
    failing = {videos.index(path) for path, modes in modes_of(pairs).items() if modes}
    return sorted(winners - losers - failing)


def modes_of(pairs: Pairs) -> dict[str, dict[str, float]]:
    """Of each video how it fails, as far as records tell (`meta`): failure mode -> severity."""
    sides = ((pair, side) for pair in pairs for side in "ab")
    return {getattr(pair, f"video_{side}"): (pair.meta.get(side) or {}).get("modes") or {} for pair, side in sides}


def persons_of(pairs: Pairs) -> frozenset[str]:
    """Whom the references of the pairs show."""
    return frozenset(person for pair in pairs for person in pair.persons)


def load_group(
    media: MediaSource,
    jsonl: Path,
    pairs: Pairs,
    augmentation: Augmentation = Augmentation(0),
    find_heads: HeadFinder | None = None,
) -> Group:
    """Pairs of one set of references. TrainingError names the first pair and the file that can't be read."""
    rng = generator(augmentation.seed, "group")

    def coins(count: int) -> list[bool]:
        return (rng.random(count) < 0.5 * augmentation.mirror).tolist()

    videos, known = compared(pairs)
    prompt, fps = pairs[0].prompt, pairs[0].fps
    name = ""
    heads: list[KnownHeads] = []
    try:
        name, paths = _references(jsonl, pairs[0])
        references = media.references(paths, coins(len(paths)))
        order = list(range(len(references)))
        if augmentation.permute_references:
            order = rng.permutation(len(references)).tolist()
        references = [references[number] for number in order]
        clips = []
        turned = coins(len(videos))
        for name, mirrored in zip(videos, turned, strict=True):
            clips.append(media.video(resolve(jsonl, name), fps, mirrored))
            if find_heads is not None:
                heads.append(find_heads(pairs[0], name, clips[-1].grid, mirrored, order))
        sequences = [media.preprocess.assemble(references, clip, prompt) for clip in clips]
        if augmentation.others is not None:
            name, paths = _references(*augmentation.others)
            strangers = media.references(paths, coins(len(paths)))
            for number in rng.choice(good_videos(pairs), augmentation.foreign).tolist():
                changed = _with_strangers(references, strangers, rng)
                known.append((number, len(sequences), 1))
                sequences.append(media.preprocess.assemble(changed, clips[number], prompt))
                if find_heads is not None:
                    own = [n if a is b else None for n, a, b in zip(order, references, changed, strict=True)]
                    heads.append(find_heads(pairs[0], videos[number], clips[number].grid, turned[number], own))
    except (RewardError, OSError) as error:
        raise TrainingError(f"pair {pairs[0].pair_id} of {jsonl}: {name}: {error}") from None
    return Group(pairs[0].pair_id, tuple(sequences), tuple(known), tuple(heads))


def comparisons(groups: Sequence[Group]) -> torch.Tensor:
    """[3, C] int64 of groups whose sequences stand end to end: a, b, label."""
    rows, first = [], 0
    for group in groups:
        rows += [(first + a, first + b, label) for a, b, label in group.comparisons]
        first += len(group.sequences)
    return torch.tensor(rows).T


def _references(jsonl: Path, pair: PreferencePair) -> tuple[str, list[Path]]:
    """How errors call them, and where they are."""
    names = [reference.path for reference in pair.references]
    return ", ".join(names), [resolve(jsonl, name) for name in names]


def _with_strangers(
    references: Sequence[PreparedMedia], strangers: Sequence[PreparedMedia], rng: np.random.Generator
) -> list[PreparedMedia]:
    """One of the pictures, or all of them, replaced by other people's, as far as there are enough of those."""
    changed = list(references)
    places = rng.permutation(len(changed)).tolist()
    if rng.random() < 0.5:
        places = places[:1]
    for place, stranger in zip(places, strangers, strict=False):
        changed[place] = stranger
    return changed
