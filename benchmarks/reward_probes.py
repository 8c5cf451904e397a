"""What a reward must do whatever it was trained on: `python -m benchmarks.reward_probes TEST.jsonl --model compact`.

For one good clip of each cast that has one (it wins, never loses, and nothing is known to fail in it): one reference
replaced by a stranger must lower the reward; the references in another order must not move it by more than the tie
band. A row's number is the share of casts, those left out that the model can't score; its peer is the goal.
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

from .support import harness

GOAL = 0.95


def reward(scorer: Scorer, images: Sequence[np.ndarray], video: Video, prompt: str) -> float:
    sample = Sample(ReferenceSet(tuple(images)), video, prompt)
    return scorer.postprocess(scorer.forward([scorer.preprocess(sample)])[0]).reward


def probe(scorer: Scorer, jsonl: Path, cast: Pairs, other: Pairs) -> tuple[float, float | None]:
    """(how much a stranger's picture in place of the first one lowers the reward; how far the reverse order moves it,
    None for a single reference)."""
    pair, sampling = cast[0], scorer.info.frame_sampling
    name = comparisons_of(cast)[0][good_videos(cast)[0]]
    video = read_video(resolve(jsonl, name), sampling, pair.fps)
    images, stranger = (
        read_references([resolve(jsonl, one.path) for one in chosen], sampling).images
        for chosen in (pair.references, other[0].references[:1])
    )
    own = reward(scorer, images, video, pair.prompt)
    lowered = own - reward(scorer, (*stranger, *images[1:]), video, pair.prompt)
    moved = abs(own - reward(scorer, images[::-1], video, pair.prompt)) if len(images) > 1 else None
    return lowered * scorer.info.preference_scale, moved and moved * scorer.info.preference_scale


def stranger_to(cast: Pairs, casts: Sequence[Pairs]) -> Pairs | None:
    """The first cast with none of this one's persons."""
    return next((other for other in casts if persons_of(other).isdisjoint(persons_of(cast))), None)


def measure(arguments: argparse.Namespace) -> list[harness.Row]:
    file = read_pair_file(arguments.pairs)
    everybody = by_cast(file.pairs)
    casts = [(cast, other) for cast in everybody if good_videos(cast) and (other := stranger_to(cast, everybody))]
    rows = []
    for name in arguments.model:
        scorer = load_scorer(name)
        lowered: list[bool] = []
        moved: list[bool] = []
        unscored = 0
        with progress(name, len(casts)) as steps:
            for cast, other in casts:
                try:
                    down, shift = probe(scorer, file.path, cast, other)
                except RewardError:
                    unscored += 1
                else:
                    lowered.append(down > 0)
                    if shift is not None:
                        moved.append(shift <= tie_band())
                steps.advance()
        for what, outcomes in (("a stranger's picture lowers it", lowered), ("the order of pictures leaves it", moved)):
            rows.append(_row(f"{name}: {what}", outcomes, unscored))
    return rows


def _row(name: str, outcomes: Sequence[bool], unscored: int) -> harness.Row:
    more = {"casts that can't be scored": unscored}
    if not outcomes:
        return harness.Row(name, "of 0", "the goal", goal=1.0, why="no cast that it can be told of", more=more)
    share = float(np.mean(outcomes))
    values = round(share, 4), GOAL, round(share / GOAL, 3), 1.0
    return harness.Row(name, f"of {len(outcomes)}", "the goal", *values, more=more)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("pairs", type=Path, help="JSONL of preference pairs of rendered people")
    parser.add_argument("--model", action="append", required=True)
    harness.main("reward_probes", measure, parser)
