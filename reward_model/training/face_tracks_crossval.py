"""`face-tracks` on people it never saw: cross-validation over the identities of a file of pairs.

    python -m reward_model.training.face_tracks_crossval PEOPLE.jsonl [CONFIG.yaml] --folds 5 --json OUT.json

For each fold a head is trained on the config's pairs and on those of PEOPLE that show nobody of the fold, and tested on
the pairs whose references are all of the fold. Every `arcface` variant scores the same pairs. Differences of accuracy
come with bootstrap intervals over casts, paired.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

from identity_reward_client.preference import tie_band

from ..data.progress import progress as shown
from ..data.records import PreferencePair
from .draws import generator
from .errors import TrainingError
from .face_tracks import TrackDataset, differences, load_dataset, load_splits, split_by_cluster, train_heads
from .statistics import Bootstrap, Interval, accuracy, best_epsilon, without_ties
from .track_baselines import arcface_differences
from .track_config import FaceTracksConfig, TrackPairs
from .track_extract import Progress


@dataclass(frozen=True, eq=False)
class CrossValidation:
    """N tested pairs, each scored by a head that saw none of its people."""

    pairs: tuple[PreferencePair, ...]
    label_N: np.ndarray
    # name of a model: r_A - r_B of each pair, in the scale of its own Bradley-Terry-with-Ties probabilities
    differences: dict[str, np.ndarray]
    fold_N: np.ndarray


def people_of(pair: PreferencePair) -> frozenset[str]:
    """Everybody a pair shows, as far as it says: its references, and the impostors named in `meta["people"]`."""
    return frozenset(pair.persons) | frozenset(pair.meta.get("people") or ())


def folds_of(pairs: Sequence[PreferencePair], folds: int, seed: int) -> list[frozenset[str]]:
    people = sorted({person for pair in pairs for person in people_of(pair)})
    if not 2 <= folds <= len(people):
        raise TrainingError(f"{folds} folds of {len(people)} people; give 2 to {len(people)}")
    order = generator(seed, "folds").permutation(len(people))
    return [frozenset(people[i] for i in order[start::folds]) for start in range(folds)]


def cross_validate(
    config: FaceTracksConfig, people: Path, folds: int = 5, rendered: bool = True, progress: Progress = shown
) -> CrossValidation:
    """`rendered` False: train on the other folds of `people` alone, not on the config's own pairs as well."""
    data = load_dataset(config, [TrackPairs(path=str(people))], progress)
    base = load_splits(config, progress) if rendered else None
    rows: list[np.ndarray] = []
    found: list[np.ndarray] = []
    numbers: list[np.ndarray] = []
    for number, fold in enumerate(folds_of(data.pairs, folds, config.seed)):
        test = np.array([i for i, pair in enumerate(data.pairs) if fold.issuperset(pair.persons)], int)
        rest = [i for i, pair in enumerate(data.pairs) if not fold & people_of(pair)]
        if not len(test) or not rest:
            continue
        others, dev = split_by_cluster(data.at(rest), 0.15, config.seed)
        if base is not None:
            others, dev = joined(base[0], others), joined(base[1], dev)
        head, _ = train_heads(config, others, dev, progress)
        held_out = data.at(test.tolist())
        with torch.no_grad():
            found.append(differences(head, held_out.a, held_out.b).double().numpy())
        rows.append(test)
        numbers.append(np.full(len(test), number))
    if not rows:
        raise TrainingError(f"{people}: no fold of {folds} holds all references of a pair; give fewer folds")
    places = np.concatenate(rows)
    tested = data.at(places.tolist())
    names = arcface_differences(people, tested.pairs, Path(config.cache), config.workers, progress)
    by_model = {"face-tracks": np.concatenate(found), **names}
    return CrossValidation(tested.pairs, tested.label_N.numpy(), by_model, np.concatenate(numbers))


def joined(a: TrackDataset, b: TrackDataset) -> TrackDataset:
    """One data set of both."""
    return TrackDataset(
        a.pairs + b.pairs,
        a.a.with_more(b.a),
        a.b.with_more(b.b),
        torch.cat([a.label_N, b.label_N]),
        torch.cat([a.weight_N, b.weight_N]),
        a.num_without_face + b.num_without_face,
    )


def report(result: CrossValidation, seed: int = 0) -> dict[str, Any]:
    """Accuracies of every model with intervals: with ties by its best epsilon and by its own band, without ties
    also per failure mode; and the differences to `face-tracks`."""
    labels = result.label_N
    bootstrap = Bootstrap([pair.cluster for pair in result.pairs], seed)
    decided = labels != 0
    modes = np.array([str(pair.meta.get("mode", "")) for pair in result.pairs])
    right: dict[str, dict[str, np.ndarray]] = {}
    for name, d in result.differences.items():
        right[name] = {
            "accuracy_without_ties": _spread(decided, without_ties(d, labels)),
            "accuracy_best_epsilon": accuracy(d, labels, best_epsilon(d, labels)),
            "accuracy_own_band": accuracy(d, labels, tie_band()),
        }
    table: dict[str, Any] = {"pairs": len(labels), "casts": bootstrap.num_clusters, "models": {}, "ahead_of": {}}
    ours = right["face-tracks"]
    for name, measures in right.items():
        table["models"][name] = {
            measure: _told(bootstrap.mean(values, decided if measure == "accuracy_without_ties" else None))
            for measure, values in measures.items()
        } | {
            "modes": {
                mode: _told(bootstrap.mean(measures["accuracy_without_ties"], (modes == mode) & decided))
                for mode in sorted(set(modes[decided]))
            }
        }
        if name != "face-tracks":
            table["ahead_of"][name] = {
                measure: _told(
                    bootstrap.mean(
                        ours[measure].astype(float) - values.astype(float),
                        decided if measure == "accuracy_without_ties" else None,
                    )
                )
                for measure, values in measures.items()
            }
    return table


def _spread(mask_N: np.ndarray, kept: np.ndarray) -> np.ndarray:
    whole = np.zeros(len(mask_N), bool)
    whole[mask_N] = kept
    return whole


def _told(interval: Interval | None) -> dict[str, float] | None:
    return None if interval is None else asdict(interval)


def main(
    people: Annotated[Path, typer.Argument(help="JSONL of the people to be held out in turn")],
    config: Annotated[str, typer.Argument(help="YAML of the training")] = "",
    folds: Annotated[int, typer.Option(help="groups of people")] = 5,
    cache: Annotated[str, typer.Option(help="folder of the features, in the config's place")] = "",
    json: Annotated[Path | None, typer.Option(help="file to write all numbers to")] = None,
) -> None:
    """Without CONFIG, heads are trained on the other people of the file alone."""
    from json import dumps

    import yaml

    if config:
        told = FaceTracksConfig.model_validate(yaml.safe_load(Path(config).read_text()))
    else:
        told = FaceTracksConfig(train=(TrackPairs(path=str(people)),))
    if cache:
        told = told.model_copy(update={"cache": cache})
    table = report(cross_validate(told, people, folds, rendered=bool(config)))
    for name, measures in table["models"].items():
        print(name)
        for measure, interval in [*measures.items()][:3]:
            print(f"  {measure:24} {_text(interval)}")
        for mode, interval in measures["modes"].items():
            print(f"    {mode:22} {_text(interval)}")
    for name, measures in table["ahead_of"].items():
        print(f"face-tracks ahead of {name}: " + ", ".join(f"{m} {_text(i)}" for m, i in measures.items()))
    if json is not None:
        json.write_text(dumps(table, indent=1) + "\n")


def _text(interval: dict[str, float] | None) -> str:
    if interval is None:
        return "none"
    return f"{interval['mean']:.3f} ({interval['low']:.3f} to {interval['high']:.3f}), {interval['count']:.0f} pairs"


if __name__ == "__main__":
    typer.run(main)
