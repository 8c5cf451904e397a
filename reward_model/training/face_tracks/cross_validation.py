"""Cross-validation of `face-tracks` over the identities of a file of pairs.

    python -m reward_model.training.face_tracks.cross_validation PEOPLE.jsonl --config CONFIG.yaml --folds 5 \
        --json OUT.json

For each fold of people, an ensemble is trained on those of the config's pairs and of PEOPLE that show nobody of the
fold, neither as a reference nor as an impostor (with weights and stranger pairs as in the config where it names PEOPLE
too), and tested on the pairs whose references are all of the fold. Every `arcface` variant scores the same pairs. The
fitted width of a tie is fitted on the tested pairs themselves, for every model alike. Intervals resample folds, not
casts: casts of the same people are not independent of each other. `clusters` of the JSON says so.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from json import dumps
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console

from identity_reward_client.preference import THETA, tie_band
from reward_model.data.progress import Progress
from reward_model.data.progress import progress as shown
from reward_model.data.records import PreferencePair, RecordError
from reward_model.faces.face_tracks import FaceTracksScorer
from reward_model.faces.recognition.reader import bundled_reader
from reward_model.faces.spread import member_spread

from ..configs.face_tracks import FaceTracksConfig, TrackPairs
from ..configs.files import read_config
from ..data.pairs import read_pair_file, signs_of
from ..errors import TrainingError
from ..evaluation.evaluation import Evaluation
from ..evaluation.misses import draw_misses
from ..evaluation.predictions import Prediction, VideoScore, differences_of
from ..evaluation.report import tables
from ..evaluation.spread_calibration import SpreadCalibration, calibrate, plot_calibration
from .baselines import arcface_predictions
from .dataset import Split, TrackDataset, dev_files, load_dataset, rotated_splits, split_by_people
from .ensemble import train_ensemble
from .people import folds_of, people_of, require_people


@dataclass(frozen=True)
class CrossValidation:
    """Result of `cross_validate`. spread: None for a single member, which has no spread."""

    evaluation: Evaluation
    spread: SpreadCalibration | None


def cross_validate(
    config: FaceTracksConfig, people: Path, folds: int = 5, progress: Progress = shown, misses: Path | None = None
) -> CrossValidation:
    """An evaluation of `face-tracks`, its first model, and of every `arcface` variant on all tested pairs; the
    calibration of the members' spread on them.

    With a config without pairs, ensembles are trained on the other folds alone. Pairs that no fold contains are left
    out. The cluster of every pair is its fold. `misses`: an image to write (`evaluation.misses`). Raises TrainingError
    for pairs of these people, or of photographs, that do not say whom their clips show.
    """
    persons = {name for pair in read_pair_file(people).pairs for name in people_of(pair)}
    for path in (str(people), *(file.path for file in config.train), *config.dev):
        require_people(path, read_pair_file(path).pairs, persons)
    data = load_dataset(config, [TrackPairs(path=str(people))], progress)
    same_file = [file for file in config.train if Path(file.path).resolve() == people.resolve()]
    others = tuple(file for file in config.train if file not in same_file)
    # pairs of these people with the weights and additions of the config
    weighted = load_dataset(config, same_file, progress) if same_file else data
    base = load_dataset(config, others, progress) if others else None
    dev = load_dataset(config, dev_files(config), progress) if config.dev else None
    tested: list[PreferencePair] = []
    predictions: list[Prediction] = []
    spreads: list[tuple[float | None, ...]] = []
    for number, fold in enumerate(folds_of(data.pairs, folds, config.seed)):
        held_out, rest = data.of_people(fold), weighted.without(fold)
        if not len(held_out) or not len(rest):
            continue
        head, _ = train_ensemble(config, _splits(config, base, dev, rest, fold), progress)
        with torch.no_grad():
            a_MN, b_MN = (head.per_member(part).numpy() for part in (held_out.a, held_out.b))
        tested += [_in_cluster(pair, f"fold {number}") for pair in held_out.pairs]
        predictions += [
            Prediction(pair.pair_id, VideoScore(x), VideoScore(y))
            for pair, x, y in zip(held_out.pairs, a_MN.mean(0).tolist(), b_MN.mean(0).tolist(), strict=True)
        ]
        if config.members > 1:
            spreads += [tuple(map(member_spread, both)) for both in zip(a_MN.T, b_MN.T, strict=True)]
    if not tested:
        raise TrainingError(f"{people}: none of {folds} folds holds all references of a pair; give fewer folds")
    if misses is not None:
        draw_misses(misses, people, tested, predictions)
    evaluation = Evaluation(tested, config.seed)
    info = replace(FaceTracksScorer(bundled_reader(), head.inference()).info, fingerprint="one head for each fold")
    baselines = arcface_predictions(people, tested, Path(config.cache), config.workers, progress)
    for scorer, predicted in [(info, predictions), *baselines]:
        evaluation.add(scorer, predicted, (tested, predicted))
    d_N = differences_of(predictions) / tie_band(THETA)
    spread = calibrate(d_N, np.array(spreads, float), signs_of(tested)) if spreads else None
    return CrossValidation(evaluation, spread)


def _in_cluster(pair: PreferencePair, name: str) -> PreferencePair:
    return pair.model_copy(update={"meta": {**pair.meta, "cluster": name}})


def _splits(
    config: FaceTracksConfig,
    base: TrackDataset | None,
    dev: TrackDataset | None,
    people: TrackDataset,
    fold: frozenset[str],
) -> list[Split]:
    """Splits of the members for one fold. base and dev: of files of other people; people: pairs without the fold."""
    others = None if base is None else base.without(fold)
    if config.stop_on:
        return rotated_splits(config, others, people)
    train, held_out = split_by_people(people, 0.15, config.seed)
    if others is not None:
        train = others.with_more(train)
    return [(train, held_out if dev is None else dev.without(fold).with_more(held_out))] * config.members


def main(
    people: Annotated[Path, typer.Argument(help="JSONL of the people who are held out in turn.")],
    config: Annotated[str, typer.Option(help="Of kind face-tracks; its pairs are learned from too.")] = "face-tracks",
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A field of it.")] = None,
    folds: Annotated[int, typer.Option(min=2, help="Groups of people.")] = 5,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write all numbers here.")] = None,
    misses: Annotated[Path | None, typer.Option(help="JPEG of the ten pairs with the worst misses.")] = None,
    spread_plot: Annotated[Path | None, typer.Option(help="PNG of the calibration of the spread.")] = None,
) -> None:
    """Accuracies with 95 % intervals on held-out people, per corruption, and against every arcface variant."""
    try:
        chosen = read_config(config, settings or ())
        if not isinstance(chosen, FaceTracksConfig):
            raise TrainingError(f"{config} is of kind {chosen.kind}; this takes kind face-tracks")
        if json_path is not None:
            json_path.parent.mkdir(parents=True, exist_ok=True)
        result = cross_validate(chosen, people, folds, misses=misses)
    except (TrainingError, RecordError) as error:
        typer.echo(f"face_tracks.cross_validation: {error}", err=True)
        raise typer.Exit(2) from None
    for table in tables(result.evaluation):
        Console().print(table)
    if result.spread is not None:
        print(f"calibrated scale of the spread: {result.spread.scale:.2f}")
        if spread_plot is not None:
            plot_calibration(result.spread, spread_plot)
    if json_path is not None:
        values = {"pairs": str(people), "folds": folds, "clusters": "folds of people", **result.evaluation.to_json()}
        if result.spread is not None:
            values["spread"] = asdict(result.spread)
        json_path.write_text(dumps(values, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)
