"""What `face-tracks` can be deceived by: `python -m benchmarks.reward.attacks [--model FOLDER] [--casts 42]`.

1. Copies (`copy_attacks`): a person is shown by their own reference image, in eleven ways. Each attacked clip is
   compared with every honest clip of the same references: other photographs, changing expressions, rendered people,
   and the same filmed with nuisances. A row's value is the share of pairs that the honest clip wins; the goal is all.
2. Held photographs: an honest clip's first frame as a still is no copy. The value is the share not taken for one.
3. Search (`search`): random image operations that raise the reward of a clip of another person. The value is the share
   of people whose best attack of all queries stays below the median honest clip.

A run of about 20 minutes that was stopped continues: `--partial` has the results of casts and people as they come. They
are measured anew when the model, its code's revision or the number of queries changed.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from reward_model.data.people.photographs.openpeople import PEOPLE
from reward_model.data.progress import progress
from reward_model.data.seeding import generator
from reward_model.data.workers import results_of
from reward_model.faces.face_tracks import FaceTracksScorer
from reward_model.registry import load_scorer
from reward_model.types import Sample

from ..support import harness
from ..support.partial_results import PartialResults
from .copy_attacks import ATTACKS, AttackInput
from .honest_clips import Cast, photographed_cast, rendered_cast
from .search import SearchResult, search

SEED = 91
PARTIAL = harness.ROOT / "runs/reward.attacks.jsonl"
WORLDS = {"OpenPeople": photographed_cast, "rendered people": rendered_cast}


@dataclass
class CastRewards:
    """Rewards of the clips of one cast. held: how far each honest clip's first frame, held, counts as a copy."""

    honest: list[float] = field(default_factory=list)
    attacks: dict[str, float] = field(default_factory=dict)
    held: list[float] = field(default_factory=list)


@cache
def scorer_of(model: str) -> FaceTracksScorer:
    scorer = load_scorer(model)
    assert isinstance(scorer, FaceTracksScorer)
    return scorer


def reward(scorer: FaceTracksScorer, sample: Sample) -> float:
    return scorer.forward([scorer.preprocess(sample)])[0].reward


def measure_cast(index: int, world: str, model: str) -> dict[str, Any]:
    """CastRewards as JSON: all honest clips of a cast, and every attack on one of its people in its first clip."""
    scorer, cast = scorer_of(model), WORLDS[world](SEED, index)
    rng = generator("attacks", SEED, world, index)
    rewards = CastRewards([reward(scorer, cast.sample(clip.frames_THWC, clip.crf)) for clip in cast.clips])
    person = int(rng.integers(len(cast.references.images)))
    for name, attack in ATTACKS.items():
        attacked = attack(
            AttackInput(cast.clips[0].frames_THWC, cast.references.images[person], _span(cast, person), rng)
        )
        rewards.attacks[name] = reward(scorer, cast.sample(attacked.frames_THWC, attacked.crf))
    for clip in cast.clips:
        held = cast.sample(np.repeat(clip.frames_THWC[:1], len(clip.frames_THWC), axis=0), clip.crf)
        rewards.held.append(scorer.preprocess(held).features.terms.copied)
    return asdict(rewards)


def _span(cast: Cast, person: int) -> tuple[int, int]:
    """Columns of a person, who stand side by side."""
    width, count = cast.clips[0].frames_THWC.shape[2], len(cast.references.images)
    return person * width // count, (person + 1) * width // count


def measure(arguments: argparse.Namespace) -> list[harness.Row]:
    model, workers = arguments.model, arguments.workers
    settings = {"fingerprint": scorer_of(model).info.fingerprint, "seed": SEED, "queries": arguments.queries}
    partial = PartialResults(arguments.partial, settings)
    rows = []
    for world in WORLDS:
        results = in_workers(world, measure_cast, range(arguments.casts), workers, partial, world, model)
        rows += copy_rows(world, [CastRewards(**result) for result in results])
    people = sorted(PEOPLE)
    results = in_workers("search", search_person, people, workers, partial, arguments.queries, model)
    searches = [SearchResult.from_json(result) for result in results]
    if arguments.pictures:
        save_images(arguments.pictures, searches)
    return [*rows, search_row(people, searches)]


def in_workers(
    title: str, work: Callable[..., Any], items: Sequence[Any], workers: int, partial: PartialResults, *options: Any
) -> list[Any]:
    """`work(item, *options)` of each item, in their order, computed by worker processes with a progress bar.

    Results are JSON values; those in `partial` are taken from there.
    """
    names = {item: f"{title}: {item}" for item in items}
    tasks = [(item, *options) for item in items if names[item] not in partial]
    with progress(title, len(tasks)) as steps, closing(results_of(work, tasks, workers)) as completed:
        for (item, *_), result in completed:
            partial.add(names[item], result)
            steps.advance()
    return [partial[names[item]] for item in items]


def copy_rows(world: str, rewards: Sequence[CastRewards]) -> list[harness.Row]:
    wins: dict[str, list[bool]] = defaultdict(list)
    for cast in rewards:
        for name, attacked in cast.attacks.items():
            wins[name] += [honest > attacked for honest in cast.honest]
    rows = [_share_row(f"{world}: {name}", won, "pairs that the honest clip wins") for name, won in wins.items()]
    held = [share == 0 for cast in rewards for share in cast.held]
    return [*rows, _share_row(f"{world}: held photographs", held, "clips not taken for copies")]


def _share_row(name: str, outcomes: Sequence[bool], unit: str) -> harness.Row:
    share = float(np.mean(outcomes))
    values = round(share, 4), 1.0, round(share, 4), 1.0
    return harness.Row(name, f"of {len(outcomes)} {unit}", "the goal", *values)


def search_person(person: str, queries: int, model: str) -> dict[str, Any]:
    """The SearchResult as JSON."""
    return search(person, queries, scorer_of(model)).to_json()


def search_row(people: Sequence[str], results: Sequence[SearchResult]) -> harness.Row:
    below = [result.best_reward < result.median_honest for result in results]
    more = {
        person: {
            "best": round(result.best_reward, 3), "start": round(result.first_reward, 3),
            "median_honest": round(result.median_honest, 3), "operations": list(result.operations),
        }
        for person, result in zip(people, results, strict=True)
    }  # fmt: skip
    row = _share_row("search: another person stays below the median honest clip", below, "people")
    row.more["people"] = more
    return row


def save_images(path: Path, results: Sequence[SearchResult]) -> None:
    """The reference and the best attack on each person, side by side."""
    tiles = []
    for result in results:
        reference = np.asarray(Image.fromarray(result.reference_HWC).resize((240, 240)))
        tiles.append(np.concatenate([reference, result.best_frame_HWC], axis=1))
    columns = [np.concatenate(tiles[n::2], axis=0) for n in range(2)]
    height = min(column.shape[0] for column in columns)
    Image.fromarray(np.concatenate([column[:height] for column in columns], axis=1)).save(path, quality=88)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="face-tracks", help="name or folder of a face-tracks model")
    parser.add_argument("--casts", type=int, default=42, help="casts of each world; 4 to 7 honest clips each")
    parser.add_argument("--queries", type=int, default=200, help="clips that the search tries for each person")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--partial", type=Path, default=PARTIAL, help="JSON lines to continue a stopped run from")
    parser.add_argument("--pictures", type=Path, help="JPEG to write the search's best attacks to")
    harness.main("reward.attacks", measure, parser)
