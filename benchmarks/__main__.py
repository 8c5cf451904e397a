"""Run the short CPU benchmarks, each in its own process (`make bench`); exits 1 if a correctness gate fails."""

from __future__ import annotations

import subprocess
import sys

from .support.harness import ROOT

NAMES = (
    "resize_normalize_patchify",
    "runner.vision_tower",
    "runner.group_sharing",
    "runner.mixed_batch",
    "handoff",
    "train_step",
    "load",
    "reward.overlap",
    "face_tracks",
)

failed = [
    name
    for name in NAMES
    if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], cwd=ROOT, check=False).returncode
]
sys.exit(f"failed: {', '.join(failed)}" if failed else 0)
