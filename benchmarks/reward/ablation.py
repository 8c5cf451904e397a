"""Ablation of label sources and samplers: Table 2 of Identity-GRPO (arXiv 2510.14256) at a small scale.

The data are clips of rendered people. Clean labels simulate three annotators with little noise; automatic labels
simulate a vision-language model. Every run starts from the same small model, as the paper's runs start from Qwen2.5-VL.
That model was trained on other rendered people to match faces and to detect corruptions, without preferences. A run
trains the language model only; all runs have the same number of steps.

A row is the accuracy without ties on pairs of people outside the training set, averaged over the seeds. Its spread is a
95 % interval over casts and seeds; the peer is the accuracy in the paper.

Gate: every pair has a finite reward.

`make ablation` takes one to two hours on two cores, resumes where it was stopped, and rewrites its file after each row.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from reward_model.data.people.dataset.generate import generate
from reward_model.data.people.scenarios.labels import LabelKind
from reward_model.data.people.scenarios.options import PackedOptions, PeopleOptions
from reward_model.data.progress import progress
from reward_model.data.records import write_pairs
from reward_model.data.seeding import generator
from reward_model.registry import load_scorer
from reward_model.training.configs.files import read_config
from reward_model.training.data.pairs import read_pair_file, signs_of
from reward_model.training.evaluation.predictions import differences_of, predict
from reward_model.training.evaluation.statistics import Bootstrap, Interval
from reward_model.training.preferences import teacher
from reward_model.training.preferences.task import train
from reward_model.training.vision_pretraining.task import pretrain_vision

from ..support import harness

RUNS = harness.ROOT / "runs/ablation"
REPORT = harness.ROOT / "docs/benchmarks/reward.ablation.json"
CONFIG = Path(__file__).with_suffix(".yaml")
SEEDS = (0, 1, 2)
NOTE = (
    "Accuracy without ties of a small model on rendered people outside its training set, the mean of three seeds. The "
    "peer is the accuracy of the paper's model on its own test set; the ratio is ours divided by the paper's, and the "
    "spread is a 95 % interval over casts and seeds."
)
# data set -> kind of its labels, seed, number of casts
CASTS: dict[str, tuple[LabelKind, int, int]] = {
    "clean": ("human", 101, 150), "auto": ("auto", 102, 300), "start": ("exact", 104, 600)
}  # fmt: skip
TEST_SEED, TEST_CASTS = 103, 120
NOT_RUN = "not run yet"


@dataclass(frozen=True)
class Setting:
    """A row of the table: data sources, sampler, and the accuracy in the paper."""

    name: str
    clean: bool
    auto: str | None  # None, "raw" or "filtered"
    sampler: str
    paper: float


SETTINGS = (
    Setting("clean only", True, None, "random", 0.853),
    Setting("automatic only, raw", False, "raw", "random", 0.664),
    Setting("clean + automatic, raw", True, "raw", "random", 0.812),
    Setting("automatic only, filtered", False, "filtered", "random", 0.785),
    Setting("clean + filtered, random", True, "filtered", "random", 0.877),
    Setting("clean + filtered, staged", True, "filtered", "staged", 0.824),
    Setting("clean + filtered, smooth", True, "filtered", "smooth", 0.890),
)


def people(name: str, labels: LabelKind, seed: int, casts: int) -> Path:
    """Path of the JSONL of a data set, which is generated if it does not exist."""
    split = "test" if name == "test" else "train"
    options = PeopleOptions(6 * casts, seed, labels, {split: 1.0}, PackedOptions())
    with progress(f"people: {name}", options.num_scenarios) as steps:
        generate(RUNS / name, options, 2, steps)
    return RUNS / name / f"{split}.jsonl"


def train_initial_model(jsonl: Path) -> Path:
    """Train the model that every run starts from: first the vision tower, then matching and corruptions."""
    data = [f"data.clean={jsonl}"]
    tower_options = ["model.backbone=small", "epochs=12"]
    tower = pretrain_vision(read_config("compact-vision", [*data, *tower_options]), RUNS / "vision", resume=True)  # type: ignore[arg-type]
    supervision = "{attention: 1.0, matching: 1.0, corruptions: 4.0, preferences: 0}"
    options = [f"model.init={tower}", f"supervision={supervision}", "data.foreign_references=2", "steps=600"]
    return train(read_config(str(CONFIG), [*data, *options]), RUNS / "start-model", resume=True)  # type: ignore[arg-type]


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

    def compare(self, first_SN: np.ndarray, second_SN: np.ndarray) -> int:
        """The sign of the difference of two rows, 0 if the 95 % interval of the difference contains 0."""
        difference = self.interval(first_SN.astype(float) - second_SN)
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


class Ablation:
    """Data sets, trained models and predictions of the ablation, all under `runs/ablation`."""

    def __init__(self):
        self.files = {name: people(name, *options) for name, options in CASTS.items()}
        self.test = read_pair_file(people("test", "exact", TEST_SEED, TEST_CASTS))
        self.initial_model = train_initial_model(self.files["start"])
        self.labels_N = signs_of(self.test.pairs)
        self.accuracies = Accuracies(self.labels_N, [pair.cluster for pair in self.test.pairs])
        self.kept_shares: dict[int, float] = {}  # by seed

    def correct(self, setting: Setting, seed: int) -> np.ndarray:
        """bool [N]: whether the reward difference of the trained model has the sign of the label."""
        scorer = load_scorer(str(self.model(setting, seed)))
        differences_N = differences_of(predict(scorer, self.test.path, self.test.pairs, RUNS / "predictions.jsonl"))
        harness.gate(
            bool(np.isfinite(differences_N).all()),
            f"{np.isnan(differences_N).sum()} pairs of {setting.name} have no reward",
        )
        return np.sign(differences_N) == self.labels_N

    def model(self, setting: Setting, seed: int) -> Path:
        """The trained model of a row and a seed."""
        settings = [f"model.init={self.initial_model}", f"seed={seed}", f"data.sampler={setting.sampler}"]
        if setting.clean:
            settings.append(f"data.clean={self.files['clean']}")
        if setting.auto is not None:
            auto = self.files["auto"] if setting.auto == "raw" else self.filtered(seed)
            settings.append(f"data.auto={auto}")
        out = RUNS / f"{setting.name.replace(' ', '-').replace(',', '')}-{seed}"
        return train(read_config(str(CONFIG), settings), out, resume=True)  # type: ignore[arg-type]

    def filtered(self, seed: int) -> Path:
        """The automatic pairs whose labels agree with the model trained on clean labels with this seed."""
        pool = read_pair_file(self.files["auto"])
        path = RUNS / "auto" / f"filtered-{seed}.jsonl"
        scorer = load_scorer(str(self.model(SETTINGS[0], seed)))
        predictions = predict(scorer, pool.path, pool.pairs, RUNS / "predictions.jsonl")
        kept, report = teacher.filter_pairs(pool.pairs, predictions)
        self.kept_shares[seed] = report.kept_share
        write_pairs(path, kept)
        return path

    def row(self, setting: Setting, correct: dict[str, np.ndarray]) -> harness.Row:
        """The row of a setting; it names the rows from which it does not differ significantly.

        Args:
            setting: the row.
            correct: row name -> bool [S, N], for the rows measured so far.
        """
        correct_SN = correct[setting.name]
        interval = self.accuracies.interval(correct_SN)
        more = {"seeds": [round(float(correct_N[self.labels_N != 0].mean()), 4) for correct_N in correct_SN]}
        if setting.auto == "filtered":
            more["kept_shares"] = [round(self.kept_shares[seed], 4) for seed in SEEDS]
        others = [name for name in correct if name != setting.name]
        similar = [name for name in others if self.accuracies.compare(correct_SN, correct[name]) == 0]
        names = "any other" if similar == others else "; ".join(similar)
        return harness.Row(
            setting.name, "", "the paper", round(interval.mean, 4), setting.paper,
            round(interval.mean / setting.paper, 3),
            spread=(round(interval.low, 3), round(interval.high, 3)),
            why=f"not significantly different from {names}" if similar else None,
            more=more,
        )  # fmt: skip


def measure() -> None:
    ablation = Ablation()
    correct: dict[str, np.ndarray] = {}
    papers = {setting.name: setting.paper for setting in SETTINGS}
    for setting in SETTINGS:
        correct[setting.name] = np.stack([ablation.correct(setting, seed) for seed in SEEDS])
        rows = [ablation.row(s, correct) for s in SETTINGS if s.name in correct]
        rows += [harness.Row(s.name, "", "the paper", why=NOT_RUN) for s in SETTINGS if s.name not in correct]
        note = f"{NOTE} {ablation.accuracies.describe_order(correct, papers)}"
        REPORT.write_text(json.dumps(harness.report("reward.ablation", rows, note), indent=1) + "\n")
        print(harness.table(rows), flush=True)
    print(note)


if __name__ == "__main__":
    measure()
