"""Table 2 of Identity-GRPO (arXiv 2510.14256) at a small scale: which labels are learned from, and in what order.

Rendered people; clean labels are three annotators with little noise, automatic ones a stand-in for a vision-language
model's. Every run starts from one tower that was trained to tell heads apart, and trains a small language model on it
for the same number of steps. A row is the mean accuracy without ties of several seeds on pairs of other people, with a
95 % interval over casts; the peer's column is the paper's accuracy. `make ablation` takes an hour or two on two cores,
goes on where it was stopped, and writes its file row by row.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from reward_model.data.people.generate import generate
from reward_model.data.people.labels import LabelKind
from reward_model.data.people.options import Options, Packed
from reward_model.data.progress import progress
from reward_model.data.records import write_pairs
from reward_model.scorer import load_scorer
from reward_model.training import teacher
from reward_model.training.config_file import read_config
from reward_model.training.dataset import labels_of, read_pair_file
from reward_model.training.heads.stage import train_heads
from reward_model.training.predictions import differences_of, predict
from reward_model.training.statistics import Bootstrap, Interval
from reward_model.training.trainer import train

from . import harness

RUNS = harness.ROOT / "runs/ablation"
REPORT = harness.ROOT / "docs/benchmarks/reward_ablation.json"
CONFIG = Path(__file__).with_suffix(".yaml")
SEEDS = (0, 1, 2)
# casts of each data set
CASTS: dict[str, tuple[LabelKind, int, int]] = {"clean": ("human", 101, 150), "auto": ("auto", 102, 300)}
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
    options = Options(6 * casts, seed, labels, {split: 1.0}, Packed())
    with progress(f"people: {name}", options.num_scenarios) as steps:
        generate(RUNS / name, options, 2, steps)
    return RUNS / name / f"{split}.jsonl"


def tower(jsonl: Path) -> Path:
    """The model that every run starts from."""
    settings = ["model.backbone=small", f"data.clean={jsonl}", "data.dev=null", "epochs=60"]
    return train_heads(read_config("compact-heads", settings), RUNS / "tower", resume=True)  # type: ignore[arg-type]


class Ablation:
    def __init__(self):
        self.files = {name: people(name, *told) for name, told in CASTS.items()}
        self.test = read_pair_file(people("test", "exact", TEST_SEED, TEST_CASTS))
        self.start = tower(self.files["auto"])
        self.labels_N = labels_of(self.test.pairs)
        self.bootstrap = Bootstrap([pair.cluster for pair in self.test.pairs])
        self.kept: dict[int, float] = {}

    def right(self, setting: Setting, seed: int) -> np.ndarray:
        """bool [N] of the test's pairs: whether the trained model has the sign of a decided label."""
        scorer = load_scorer(str(self.model(setting, seed)))
        found = predict(scorer, self.test.path, self.test.pairs, RUNS / "predictions.jsonl")
        return np.sign(differences_of(found)) == self.labels_N

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
        found = predict(scorer, pool.path, pool.pairs, RUNS / "predictions.jsonl")
        kept, report = teacher.filter_pairs(pool.pairs, found)
        self.kept[seed] = report.kept_share
        write_pairs(path, kept)
        return path

    def row(self, setting: Setting) -> tuple[harness.Row, np.ndarray]:
        right_SN = np.stack([self.right(setting, seed) for seed in SEEDS])
        mean = self.interval(right_SN.mean(0))
        more = {"seeds": [round(float(right[self.labels_N != 0].mean()), 4) for right in right_SN]}
        if setting.auto == "filtered":
            more["kept_shares"] = [round(self.kept[seed], 4) for seed in SEEDS]
        return (
            harness.Row(
                setting.name, "", "the paper", round(mean.mean, 4), setting.paper,
                round(mean.mean / setting.paper, 3), spread=(round(mean.low, 3), round(mean.high, 3)), more=more,
            ),
            right_SN.mean(0),
        )  # fmt: skip

    def interval(self, values_N: np.ndarray) -> Interval:
        found = self.bootstrap.mean(values_N, self.labels_N != 0)
        assert found is not None
        return found


def unresolved(ablation: Ablation, rights: dict[str, np.ndarray]) -> list[dict]:
    """Pairs of rows whose difference has an interval with zero in it."""
    found = []
    for (one, a), (other, b) in combinations(rights.items(), 2):
        gain = ablation.interval(a - b)
        if gain.low <= 0 <= gain.high:
            found.append({"rows": [one, other], **asdict(gain)})
    return found


def measure(_: argparse.Namespace) -> list[harness.Row]:
    ablation = Ablation()
    rows: list[harness.Row] = []
    rights: dict[str, np.ndarray] = {}
    for setting in SETTINGS:
        row, rights[setting.name] = ablation.row(setting)
        rows.append(row)
        write(rows, ablation, rights)
        print(harness.table(rows[-1:]), flush=True)
    return rows


def write(rows: Sequence[harness.Row], ablation: Ablation, rights: dict[str, np.ndarray]) -> None:
    done = {row.name for row in rows}
    waiting = [harness.Row(s.name, "", "the paper", why=WHY) for s in SETTINGS if s.name not in done]
    report = harness.report("reward_ablation", [*rows, *waiting])
    REPORT.write_text(json.dumps({**report, "unresolved": unresolved(ablation, rights)}, indent=1) + "\n")


if __name__ == "__main__":
    harness.main("reward_ablation", measure)
