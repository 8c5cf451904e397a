"""Two properties that any reward model must have: `python -m benchmarks.reward.probes TEST.jsonl --model compact`.

1. The reward falls when one reference image is replaced by that of another person.
2. The reward changes by no more than the tie band when the references are reordered.

They are measured on one good clip per cast: a clip that wins, never loses, and has no corruption. Casts without such a
clip are skipped. A row's value is the share of casts that have the property, without those that the model cannot score;
in place of a peer stands the goal of 0.95.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from identity_reward_client.errors import RewardError
from identity_reward_client.preference import tie_band
from reward_model.data.progress import progress
from reward_model.data.records import resolve
from reward_model.registry import load_scorer
from reward_model.scorer import Scorer
from reward_model.training.data.casts import Pairs, by_cast, comparisons_of, good_videos, persons_of
from reward_model.training.data.media import read_references, read_video
from reward_model.training.data.pairs import read_pair_file
from reward_model.types import ReferenceSet, Sample, Video

from ..support import harness

GOAL = 0.95


def reward(scorer: Scorer, images: Sequence[np.ndarray], video: Video, prompt: str) -> float:
    """The reward of one video."""
    sample = Sample(ReferenceSet(tuple(images)), video, prompt)
    return scorer.postprocess(scorer.forward([scorer.preprocess(sample)])[0]).reward


def probe(scorer: Scorer, jsonl: Path, cast: Pairs, other: Pairs) -> tuple[float, float | None]:
    """Measure both properties on one cast, in units of the preference scale.

    Args:
        scorer: the model.
        jsonl: file of the pairs; media paths are relative to it.
        cast: pairs of the cast.
        other: pairs of a cast without any of these persons.

    Returns:
        The decrease of the reward with the first reference replaced by one of `other`, and the absolute change with
        the references reversed (None for a single reference).
    """
    pair, sampling = cast[0], scorer.info.frame_sampling
    name = comparisons_of(cast)[0][good_videos(cast)[0]]
    video = read_video(resolve(jsonl, name), sampling, pair.fps)
    images, other_images = (
        read_references([resolve(jsonl, reference.path) for reference in references], sampling).images
        for references in (pair.references, other[0].references[:1])
    )
    original = reward(scorer, images, video, pair.prompt)
    decrease = original - reward(scorer, (*other_images, *images[1:]), video, pair.prompt)
    change = abs(original - reward(scorer, images[::-1], video, pair.prompt)) if len(images) > 1 else None
    return decrease * scorer.info.preference_scale, change and change * scorer.info.preference_scale


def cast_without(cast: Pairs, casts: Sequence[Pairs]) -> Pairs | None:
    """The first cast that has none of the persons of `cast`, or None."""
    return next((other for other in casts if persons_of(other).isdisjoint(persons_of(cast))), None)


def measure(arguments: argparse.Namespace) -> list[harness.Row]:
    file = read_pair_file(arguments.pairs)
    all_casts = by_cast(file.pairs)
    casts = [(cast, other) for cast in all_casts if good_videos(cast) and (other := cast_without(cast, all_casts))]
    rows = []
    for name in arguments.model:
        scorer = load_scorer(name)
        is_lower: list[bool] = []
        is_stable: list[bool] = []
        unscored = 0
        with progress(name, len(casts)) as steps:
            for cast, other in casts:
                try:
                    decrease, change = probe(scorer, file.path, cast, other)
                except RewardError:
                    unscored += 1
                else:
                    is_lower.append(decrease > 0)
                    if change is not None:
                        is_stable.append(change <= tie_band())
                steps.advance()
        rows.append(_row(f"{name}: another person's image lowers the reward", is_lower, unscored))
        rows.append(_row(f"{name}: the order of references keeps the reward", is_stable, unscored))
    return rows


def _row(name: str, outcomes: Sequence[bool], unscored: int) -> harness.Row:
    more = {"casts that can't be scored": unscored}
    if not outcomes:
        return harness.Row(name, "of 0", "the goal", goal=1.0, why="no cast to measure it on", more=more)
    share = float(np.mean(outcomes))
    values = round(share, 4), GOAL, round(share / GOAL, 3), 1.0
    return harness.Row(name, f"of {len(outcomes)}", "the goal", *values, more=more)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("pairs", type=Path, help="JSONL of preference pairs of rendered people")
    parser.add_argument("--model", action="append", required=True)
    harness.main("reward.probes", measure, parser)
