"""Ablation of label sources and samplers: Table 2 of Identity-GRPO (arXiv 2510.14256) on rendered people.

Clean labels simulate three annotators with little noise. Automatic labels simulate a vision-language model, which
hardly sees exchanged people and prefers clips that are sharp and well lit (`data.people.scenarios.labels`). There are
twice as many automatic pairs as clean ones, as in the paper. A row trains networks of `face-tracks` on cached features
(`label_sources`), all for the same number of steps. A seed decides votes, initial weights and the order of pairs, so
that the teacher and its filter differ too.

A row is the accuracy without ties on exact labels of other people, averaged over the seeds. Its spread is a 95 %
interval over casts and seeds; the peer is the accuracy in the paper. `minus` of a row has its differences to the rows
above: the mean and its 95 % interval, paired over casts and seeds. The rows below the table's vary the systematic error
of the automatic labels, the share that the filter keeps, and the number of casts; their peer is the row that they vary.

Gate: every pair has a finite reward.

`make ablation` took 25 minutes on two cores that other programs shared; it resumes where it was stopped. Its clips take
5 GB in `runs/`. `--casts 18 --seeds 3` is a trial.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from reward_model.data.seeding import generator
from reward_model.training.evaluation.statistics import Bootstrap, Interval

from ..support import harness
from .label_sources import LabelSources, Predictions, Training, load_casts, train_all

REPORT = harness.ROOT / "docs/benchmarks/reward.ablation.json"
NUM_CASTS, NUM_SEEDS = 180, 10
# share of the seeds, the first ones, of a row that varies one of the table
SWEEP_SHARE = 0.5


@dataclass(frozen=True)
class Setting:
    """A row. peer: the accuracy in the paper, or the name of the row of the table that this one varies by `change`."""

    name: str
    training: Training
    peer: float | str
    change: str = ""

    def seeds(self, number: int) -> range:
        """The seeds of this row, if a row of the table has `number`."""
        return range(max(round(SWEEP_SHARE * number), 1) if self.change else number)


TABLE = (
    Setting("clean only", Training(True), 0.853),
    Setting("automatic only, raw", Training(False, "raw"), 0.664),
    Setting("clean + automatic, raw", Training(True, "raw"), 0.812),
    Setting("automatic only, filtered", Training(False, "filtered"), 0.785),
    Setting("clean + filtered, random", Training(True, "filtered"), 0.877),
    Setting("clean + filtered, staged", Training(True, "filtered", "staged"), 0.824),
    Setting("clean + filtered, smooth", Training(True, "filtered", "smooth"), 0.890),
)


def sweeps() -> tuple[Setting, ...]:
    """Rows of the table with one thing changed."""
    rows = {setting.name: setting for setting in TABLE}
    clean, _, _, _, random, staged, smooth = rows

    def vary(name: str, change: str, **changes: float) -> Setting:
        return Setting(f"{name}: {change}", replace(rows[name].training, **changes), name, change)

    mixed = (random, staged, smooth)
    return (
        *(vary(name, f"bias x {bias:g}", looks_bias=bias) for bias in (0.5, 2.0) for name in list(rows)[1:]),
        *(vary(random, f"filter keeps {share:.0%}", kept_share=share) for share in (0.25, 0.5, 0.75)),
        *(vary(name, f"{size:.0%} of the casts", size=size) for size in (0.25, 0.5) for name in (clean, *mixed)),
    )


class Accuracies:
    """Accuracies on one test set, with intervals over casts and seeds.

    Suffixes of shapes: S seeds, N pairs, D decided pairs, C casts, R resamples of the bootstrap.
    """

    def __init__(self, labels_N: np.ndarray, clusters_N: list[str]):
        self.decided_N, self.bootstrap = labels_N != 0, Bootstrap(clusters_N)

    def interval(self, values_SN: np.ndarray) -> Interval:
        """Mean over decided pairs with a 95 % interval; all rows use the same resamples of casts and seeds."""
        values_SD = np.asarray(values_SN, np.float64)[:, self.decided_N]
        counts_RC, index_D = self.bootstrap.counts_RC, self.bootstrap.index_N[self.decided_N]
        size_C = np.bincount(index_D, minlength=counts_RC.shape[1])
        sum_SC = np.stack([np.bincount(index_D, values_D, len(size_C)) for values_D in values_SD])
        means_RS = counts_RC @ sum_SC.T / (counts_RC @ size_C)[:, None]
        seeds_RS = generator(0, "seeds").integers(len(values_SD), size=means_RS.shape)
        low, high = np.quantile(np.take_along_axis(means_RS, seeds_RS, 1).mean(1), [0.025, 0.975])
        return Interval(float(values_SD.mean()), float(low), float(high), values_SD.shape[1])

    def difference(self, first_SN: np.ndarray, second_SN: np.ndarray) -> Interval:
        """Of two rows, paired over seeds and test pairs."""
        return self.interval(first_SN.astype(float) - second_SN)

    def compare(self, first_SN: np.ndarray, second_SN: np.ndarray) -> int:
        """The sign of the difference of two rows, 0 if the 95 % interval of the difference contains 0."""
        difference = self.difference(first_SN, second_SN)
        return int(difference.low > 0) - int(difference.high < 0)

    def describe_order(self, correct: dict[str, np.ndarray], papers: dict[str, float]) -> str:
        """A sentence on how the order of the measured rows agrees with the order in the paper."""
        ranked = sorted(correct, key=lambda name: papers[name], reverse=True)
        comparisons = {(a, b): self.compare(correct[a], correct[b]) for a, b in combinations(ranked, 2)}
        against = [f"{b} over {a}" for (a, b), sign in comparisons.items() if sign < 0]
        counts = [sum(sign == value for sign in comparisons.values()) for value in (1, 0, -1)]
        return (
            f"Of {len(comparisons)} pairs of rows, {counts[0]} are in the paper's order, {counts[1]} do not differ "
            f"significantly, and {counts[2]} are in the opposite order{': ' * bool(against)}{'; '.join(against)}."
        )


class Table:
    """Rows of the report, from the predictions of all settings and seeds."""

    def __init__(self, sources: LabelSources, num_seeds: int):
        test = sources.casts["test"]
        self.labels_N = test.label_N.numpy()
        self.accuracies = Accuracies(self.labels_N, [pair.cluster for pair in test.pairs])
        self._sources, self._num_seeds = sources, num_seeds
        # change -> name of a row -> bool [S, N]: whether the reward difference has the sign of the label
        self.correct: dict[str, dict[str, np.ndarray]] = {}

    def row(self, setting: Setting) -> harness.Row:
        """The row of a setting, compared to the earlier rows with the same change and to its peer, if that is a row."""
        seeds = setting.seeds(self._num_seeds)
        results = [self._sources.predictions(setting.training, seed) for seed in seeds]
        differences_SN = np.stack([result.test_N for result in results])
        unscored = int((~np.isfinite(differences_SN)).sum())
        harness.gate(unscored == 0, f"{unscored} pairs of {setting.name} have no reward")
        correct_SN = np.sign(differences_SN) == self.labels_N
        interval = self.accuracies.interval(correct_SN)
        more = {"seeds": [round(float(row[self.accuracies.decided_N].mean()), 4) for row in correct_SN]}
        earlier = self.correct.setdefault(setting.change, {})
        compared = dict(earlier)
        earlier[setting.name] = correct_SN
        if isinstance(setting.peer, str):
            compared[setting.peer] = self.correct[""][setting.peer][: len(seeds)]
            peer, peer_name = self.accuracies.interval(compared[setting.peer]).mean, f"ours: {setting.peer}"
        else:
            peer, peer_name = setting.peer, "the paper"
        minus = {name: self.accuracies.difference(correct_SN, other_SN) for name, other_SN in compared.items()}
        similar = [name for name, difference in minus.items() if difference.low <= 0 <= difference.high]
        return harness.Row(
            setting.name, "", peer_name, round(interval.mean, 4), round(peer, 4), round(interval.mean / peer, 3),
            spread=(round(interval.low, 3), round(interval.high, 3)),
            why=f"not significantly different from {'; '.join(similar)}" if similar else None,
            more=more | _labels(setting.training, results)
            | {"minus": {name: [round(x, 4) for x in (d.mean, d.low, d.high)] for name, d in minus.items()}},
        )  # fmt: skip


def _labels(training: Training, results: list[Predictions]) -> dict[str, float]:
    """Means over the seeds: share of the automatic pairs that are learned from, shares of right labels among them."""
    if training.auto is None:
        return {}
    of_all, of_decided = np.mean([result.label_accuracies for result in results], 0)
    kept_share = np.mean([result.kept_share for result in results])
    values = {"kept_share": kept_share, "right_labels": of_all, "right_decided_labels": of_decided}
    return {name: round(float(value), 4) for name, value in values.items()}


def measure(arguments: argparse.Namespace) -> None:
    folder = harness.ROOT / f"runs/ablation-{arguments.casts}"
    sources = LabelSources(folder / "predictions", load_casts(folder, arguments.casts))
    settings = (*TABLE, *sweeps())
    runs = [(setting.training, seed) for setting in settings for seed in setting.seeds(arguments.seeds)]
    train_all(sources, runs, "networks")
    table = Table(sources, arguments.seeds)
    rows = [table.row(setting) for setting in settings]
    papers = {setting.name: float(setting.peer) for setting in TABLE}
    sizes = ", ".join(f"{len(data)} pairs of the casts {group}" for group, data in sources.casts.items())
    note = (
        f"Accuracy without ties of small networks on rendered people outside their training set, the mean of "
        f"{arguments.seeds} seeds; {sizes}. The peer of the first seven rows is the accuracy of the paper's model on "
        "its own test set. The other rows change one thing in one of these, which is their peer, with half of the "
        "seeds. The ratio is ours divided by the peer, and the spread is a 95 % interval over casts and seeds. "
        f"{table.accuracies.describe_order(table.correct[''], papers)}"
    )
    if arguments.json:
        report = harness.report("reward.ablation", rows, note)
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")
    print(harness.table(rows), note, sep="\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--casts", type=int, default=NUM_CASTS, help="of three groups: clean, automatic, test")
    parser.add_argument("--seeds", type=int, default=NUM_SEEDS, help="networks of each row")
    parser.add_argument("--json", type=Path, metavar="OUT", help="file to write the results to")
    measure(parser.parse_args())
