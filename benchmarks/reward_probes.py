"""What a reward must do whatever it was trained on: `python -m benchmarks.reward_probes TEST.jsonl --model compact`.

For one good clip of each cast: one reference replaced by another cast's person must lower the reward; the references in
another order must not move it by more than the tie band. A row's number is the share of casts; its peer is the goal.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from identity_reward_client.preference import tie_band
from reward_model.data.progress import progress
from reward_model.data.records import resolve
from reward_model.scorer import Scorer, load_scorer
from reward_model.training.dataset import read_pair_file
from reward_model.training.groups import Pairs, by_cast, compared, unbeaten
from reward_model.training.media import read_references, read_video
from reward_model.types import ReferenceSet, Sample, Video

from . import harness

GOAL = 0.95


def reward(scorer: Scorer, images: Sequence[np.ndarray], video: Video, prompt: str) -> float:
    sample = Sample(ReferenceSet(tuple(images)), video, prompt)
    return scorer.postprocess(scorer.forward([scorer.preprocess(sample)])[0]).reward


def probe(scorer: Scorer, jsonl: Path, cast: Pairs, other: Pairs) -> tuple[float, float | None]:
    """(how much a stranger's picture in place of the first one lowers the reward; how far the reverse order moves it,
    None for a single reference)."""
    pair, sampling = cast[0], scorer.info.frame_sampling
    name = compared(cast)[0][unbeaten(cast)[0]]
    video = read_video(resolve(jsonl, name), sampling, pair.fps)
    images, stranger = (
        read_references([resolve(jsonl, one.path) for one in chosen], sampling).images
        for chosen in (pair.references, other[0].references[:1])
    )
    own = reward(scorer, images, video, pair.prompt)
    lowered = own - reward(scorer, (*stranger, *images[1:]), video, pair.prompt)
    moved = abs(own - reward(scorer, images[::-1], video, pair.prompt)) if len(images) > 1 else None
    return lowered * scorer.info.preference_scale, moved and moved * scorer.info.preference_scale


def measure(arguments: argparse.Namespace) -> list[harness.Row]:
    file = read_pair_file(arguments.pairs)
    casts = [cast for cast in by_cast(file.pairs) if unbeaten(cast)]
    rows = []
    for name in arguments.model:
        scorer = load_scorer(name)
        lowered, moved = [], []
        with progress(name, len(casts)) as steps:
            for number, cast in enumerate(casts):
                down, shift = probe(scorer, file.path, cast, casts[number - 1])
                lowered.append(down > 0)
                if shift is not None:
                    moved.append(shift <= tie_band())
                steps.advance()
        for what, found in (("a stranger's picture lowers it", lowered), ("the order of pictures leaves it", moved)):
            share = float(np.mean(found))
            rows.append(
                harness.Row(
                    f"{name}: {what}",
                    f"of {len(found)}",
                    "the goal",
                    round(share, 4),
                    GOAL,
                    round(share / GOAL, 3),
                    1.0,
                )
            )
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("pairs", type=Path, help="JSONL of preference pairs of rendered people")
    parser.add_argument("--model", action="append", required=True)
    harness.main("reward_probes", measure, parser)
