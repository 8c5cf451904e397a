"""What is computed together: the videos of one set of references, and the pairs that are known of them.

A pair is a group of two. With `data.groups` all pairs of a cast make one group, in which every video is computed once
however many pairs it is in. References are keyed by content, so that all videos of a group share their prefix.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ..data.records import PreferencePair, resolve
from ..errors import ScoringError
from ..preprocess import Preprocessor
from ..runner.sequence import Clip, TokenSequence
from ..types import ReferenceSet, Sample
from .dataset import sign
from .draws import generator
from .errors import TrainingError
from .media import read_references, read_video

Pairs = tuple[PreferencePair, ...]


@dataclass(frozen=True)
class Group:
    """`comparisons`: (a, b, label), numbers of `sequences` and +1 where a is better, 0 for a tie, -1."""

    name: str
    sequences: tuple[TokenSequence, ...]
    comparisons: tuple[tuple[int, int, int], ...]


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
    """Pairs of the same cluster, references and prompt together, in the order of their first."""
    groups: dict[tuple, list[PreferencePair]] = {}
    for pair in pairs:
        key = (pair.cluster, pair.prompt, tuple(reference.path for reference in pair.references))
        groups.setdefault(key, []).append(pair)
    return [tuple(group) for group in groups.values()]


def compared(pairs: Pairs) -> tuple[list[str], list[tuple[int, int, int]]]:
    """The distinct videos of the pairs, and their comparisons as in `Group`."""
    videos = list(dict.fromkeys(path for pair in pairs for path in (pair.video_a, pair.video_b)))
    return videos, [(videos.index(pair.video_a), videos.index(pair.video_b), sign(pair)) for pair in pairs]


def unbeaten(pairs: Pairs) -> list[int]:
    """Numbers of the videos that no comparison calls the worse one."""
    videos, comparisons = compared(pairs)
    beaten = {b if label > 0 else a for a, b, label in comparisons if label}
    return [number for number in range(len(videos)) if number not in beaten]


def load_group(
    preprocess: Preprocessor, jsonl: Path, pairs: Pairs, augmentation: Augmentation = Augmentation(0)
) -> Group:
    """Pairs of one set of references. TrainingError names the first pair and the file that can't be read."""
    rng = generator(augmentation.seed, "group")
    videos, known = compared(pairs)
    name = ", ".join(reference.path for reference in pairs[0].references)
    try:
        references = _references(preprocess, jsonl, pairs[0])
        if augmentation.mirror:
            references = [_mirrored(picture) if rng.random() < 0.5 else picture for picture in references]
        order = rng.permutation(len(references)) if augmentation.permute_references else range(len(references))
        references = [references[number] for number in order]
        shared = ReferenceSet(tuple(references))
        samples = []
        for name in videos:
            video = read_video(resolve(jsonl, name), preprocess.config.frame_sampling, pairs[0].fps)
            if augmentation.mirror and rng.random() < 0.5:
                video = replace(video, frames_THWC=_mirrored(video.frames_THWC))
            samples.append(Sample(shared, video, pairs[0].prompt))
        sequences = [preprocess(sample) for sample in samples]
        if augmentation.others is not None:
            other_jsonl, other = augmentation.others
            name = ", ".join(reference.path for reference in other.references)
            strangers = _references(preprocess, other_jsonl, other)
            for number in rng.choice(unbeaten(pairs), augmentation.foreign).tolist():
                changed = _with_strangers(references, strangers, rng)
                sequence = preprocess(replace(samples[number], references=ReferenceSet(changed)))
                known.append((number, len(sequences), 1))
                sequences.append(_same_video(sequence, sequences[number].clips[-1]))
    except (ScoringError, OSError) as error:
        raise TrainingError(f"pair {pairs[0].pair_id} of {jsonl}: {name}: {error}") from None
    return Group(pairs[0].pair_id, tuple(sequences), tuple(known))


def comparisons(groups: Sequence[Group]) -> torch.Tensor:
    """[3, C] int64 of groups whose sequences stand end to end: a, b, label."""
    rows, first = [], 0
    for group in groups:
        rows += [(first + a, first + b, label) for a, b, label in group.comparisons]
        first += len(group.sequences)
    return torch.tensor(rows).T


def _references(preprocess: Preprocessor, jsonl: Path, pair: PreferencePair) -> list[np.ndarray]:
    paths = [resolve(jsonl, reference.path) for reference in pair.references]
    return list(read_references(paths, preprocess.config.frame_sampling).images)


def _mirrored(picture: np.ndarray) -> np.ndarray:
    """[..., W, 3] left to right."""
    return np.ascontiguousarray(picture[..., ::-1, :])


def _with_strangers(
    references: Sequence[np.ndarray], strangers: Sequence[np.ndarray], rng: np.random.Generator
) -> tuple[np.ndarray, ...]:
    """One of the pictures, or all of them, replaced by other people's, as far as there are enough of those."""
    changed = list(references)
    places = rng.permutation(len(changed)).tolist()
    if rng.random() < 0.5:
        places = places[:1]
    for place, stranger in zip(places, strangers, strict=False):
        changed[place] = stranger
    return tuple(changed)


def _same_video(sequence: TokenSequence, video: Clip) -> TokenSequence:
    """With the very patches of another sequence's video, which the tower then sees once."""
    own = replace(sequence.clips[-1], patches=video.patches)
    return replace(sequence, clips=(*sequence.clips[:-1], own))
