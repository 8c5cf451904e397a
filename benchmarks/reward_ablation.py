"""Table 2 of Identity-GRPO (arXiv 2510.14256) at a small scale: which labels are learned from, and in what order.

Rendered people; clean labels are three annotators with little noise, automatic ones a stand-in for a vision-language
model's. Every run starts from one small model, as the paper's start from Qwen2.5-VL: on other rendered people it was
told whose head is whose and how clips fail, and no preference. A run trains its language model, always for the same
number of steps. A row is the mean accuracy without ties of several seeds on pairs of other people; its spread is a 95 %
interval over casts and seeds, and the peer's column is the paper's accuracy. `make ablation` takes an hour or two on
two cores, goes on where it was stopped, and writes its file row by row.
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

from .support import harness

RUNS = harness.ROOT / "runs/ablation"
REPORT = harness.ROOT / "docs/benchmarks/reward_ablation.json"
CONFIG = Path(__file__).with_name("support") / "reward_ablation.yaml"
SEEDS = (0, 1, 2)
ABOUT = (
    "Accuracy without ties of a small model on rendered people it never saw, the mean of three seeds, beside that of "
    "the paper's on its own test set; the ratio is ours over theirs, the spread a 95 % interval over casts and seeds."
)
# casts of each data set
CASTS: dict[str, tuple[LabelKind, int, int]] = {
    "clean": ("human", 101, 150), "auto": ("auto", 102, 300), "start": ("exact", 104, 600)
}  # fmt: skip
TEST_SEED, TEST_CASTS = 103, 120
WHY = "not run yet"


@dataclass(frozen=True)
class Setting:
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
    """The JSONL of a data set, made where it isn't there."""
    split = "test" if name == "test" else "train"
    options = PeopleOptions(6 * casts, seed, labels, {split: 1.0}, PackedOptions())
    with progress(f"people: {name}", options.num_scenarios) as steps:
        generate(RUNS / name, options, 2, steps)
    return RUNS / name / f"{split}.jsonl"


def start(jsonl: Path) -> Path:
    """The model that every run starts from."""
    given = [f"data.clean={jsonl}"]
    heads = ["model.backbone=small", "epochs=12"]
    tower = pretrain_vision(read_config("compact-heads", [*given, *heads]), RUNS / "heads", resume=True)  # type: ignore[arg-type]
    taught = "{attention: 1.0, matching: 1.0, failures: 4.0, preferences: 0}"
    shown = [f"model.init={tower}", f"supervision={taught}", "data.foreign_references=2", "steps=600"]
    return train(read_config(str(CONFIG), [*given, *shown]), RUNS / "start-model", resume=True)  # type: ignore[arg-type]


class Accuracies:
    """Of rows on one test set, with intervals over casts and seeds. S seeds, N pairs."""

    def __init__(self, labels_N: np.ndarray, clusters_N: list[str]):
        self.decided_N, self.bootstrap = labels_N != 0, Bootstrap(clusters_N)

    def interval(self, values_SN: np.ndarray) -> Interval:
        """Of decided pairs: casts are resampled, and seeds, which two rows have in common."""
        values_SD = np.asarray(values_SN, np.float64)[:, self.decided_N]
        counts_RC, index_D = self.bootstrap.counts_RC, self.bootstrap.index_N[self.decided_N]
        size_C = np.bincount(index_D, minlength=counts_RC.shape[1])
        sum_SC = np.stack([np.bincount(index_D, values_D, len(size_C)) for values_D in values_SD])
        means_RS = counts_RC @ sum_SC.T / (counts_RC @ size_C)[:, None]
        drawn_RS = generator(0, "seeds").integers(len(values_SD), size=means_RS.shape)
        low, high = np.quantile(np.take_along_axis(means_RS, drawn_RS, 1).mean(1), [0.025, 0.975])
        return Interval(float(values_SD.mean()), float(low), float(high), values_SD.shape[1])

    def compare(self, one_SN: np.ndarray, other_SN: np.ndarray) -> int:
        """1: one's mean is higher, and the interval of the difference excludes 0; -1: lower; 0: not told apart."""
        gain = self.interval(one_SN.astype(float) - other_SN)
        return int(gain.low > 0) - int(gain.high < 0)

    def order(self, rights: dict[str, np.ndarray], papers: dict[str, float]) -> str:
        """How the order of the rows that are known agrees with the paper's, in words."""
        ranked = sorted(rights, key=lambda name: papers[name], reverse=True)
        comparisons = {(a, b): self.compare(rights[a], rights[b]) for a, b in combinations(ranked, 2)}
        against = [f"{b} over {a}" for (a, b), sign in comparisons.items() if sign < 0]
        counts = [sum(sign == of for sign in comparisons.values()) for of in (1, 0, -1)]
        text = (
            f"Of {len(comparisons)} pairs of rows {counts[0]} come in the paper's order, {counts[1]} aren't told apart"
        )
        return f"{text}, {counts[2]} come the other way round{': ' * bool(against)}{'; '.join(against)}."


class Ablation:
    def __init__(self):
        self.files = {name: people(name, *told) for name, told in CASTS.items()}
        self.test = read_pair_file(people("test", "exact", TEST_SEED, TEST_CASTS))
        self.start = start(self.files["start"])
        self.labels_N = signs_of(self.test.pairs)
        self.accuracies = Accuracies(self.labels_N, [pair.cluster for pair in self.test.pairs])
        self.kept: dict[int, float] = {}

    def right(self, setting: Setting, seed: int) -> np.ndarray:
        """bool [N] of the test's pairs: whether the trained model has the sign of a decided label."""
        scorer = load_scorer(str(self.model(setting, seed)))
        differences_N = differences_of(predict(scorer, self.test.path, self.test.pairs, RUNS / "predictions.jsonl"))
        harness.gate(
            bool(np.isfinite(differences_N).all()),
            f"{np.isnan(differences_N).sum()} pairs of {setting.name} have no reward",
        )
        return np.sign(differences_N) == self.labels_N

    def model(self, setting: Setting, seed: int) -> Path:
        settings = [f"model.init={self.start}", f"seed={seed}", f"data.sampler={setting.sampler}"]
        if setting.clean:
            settings.append(f"data.clean={self.files['clean']}")
        if setting.auto is not None:
            auto = self.files["auto"] if setting.auto == "raw" else self.filtered(seed)
            settings.append(f"data.auto={auto}")
        out = RUNS / f"{setting.name.replace(' ', '-').replace(',', '')}-{seed}"
        return train(read_config(str(CONFIG), settings), out, resume=True)  # type: ignore[arg-type]

    def filtered(self, seed: int) -> Path:
        """What the clean model of this seed agrees with."""
        pool = read_pair_file(self.files["auto"])
        path = RUNS / "auto" / f"filtered-{seed}.jsonl"
        scorer = load_scorer(str(self.model(SETTINGS[0], seed)))
        predictions = predict(scorer, pool.path, pool.pairs, RUNS / "predictions.jsonl")
        kept, report = teacher.filter_pairs(pool.pairs, predictions)
        self.kept[seed] = report.kept_share
        write_pairs(path, kept)
        return path

    def row(self, setting: Setting, rights: dict[str, np.ndarray]) -> harness.Row:
        """`rights`: bool [S, N] of the rows that are known; from which of them this one can't be told apart is said."""
        right_SN = rights[setting.name]
        interval = self.accuracies.interval(right_SN)
        more = {"seeds": [round(float(right_N[self.labels_N != 0].mean()), 4) for right_N in right_SN]}
        if setting.auto == "filtered":
            more["kept_shares"] = [round(self.kept[seed], 4) for seed in SEEDS]
        others = [name for name in rights if name != setting.name]
        alike = [name for name in others if self.accuracies.compare(right_SN, rights[name]) == 0]
        return harness.Row(
            setting.name, "", "the paper", round(interval.mean, 4), setting.paper,
            round(interval.mean / setting.paper, 3),
            spread=(round(interval.low, 3), round(interval.high, 3)),
            why=f"not told apart from {'any other' if alike == others else '; '.join(alike)}" if alike else None,
            more=more,
        )  # fmt: skip


def measure() -> None:
    ablation = Ablation()
    rights: dict[str, np.ndarray] = {}
    papers = {setting.name: setting.paper for setting in SETTINGS}
    for setting in SETTINGS:
        rights[setting.name] = np.stack([ablation.right(setting, seed) for seed in SEEDS])
        rows = [ablation.row(one, rights) for one in SETTINGS if one.name in rights]
        rows += [harness.Row(s.name, "", "the paper", why=WHY) for s in SETTINGS if s.name not in rights]
        note = f"{ABOUT} {ablation.accuracies.order(rights, papers)}"
        REPORT.write_text(json.dumps(harness.report("reward_ablation", rows, note), indent=1) + "\n")
        print(harness.table(rows), flush=True)
    print(note)


if __name__ == "__main__":
    measure()
