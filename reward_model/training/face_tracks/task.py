"""A run of `face-tracks`: clips are read into a cache of features, then the networks train in a minute or two."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from reward_model.checkpoint import tensor_entries, write_weights
from reward_model.data.progress import Progress
from reward_model.data.progress import progress as shown
from reward_model.faces.tracks.head_config import head_config_json
from reward_model.faces.tracks.reward_head import TrackHead
from reward_model.folder import CONFIG, WEIGHTS

from ..configs.face_tracks import FaceTracksConfig
from ..data.pairs import require_held_out
from ..loop.processes import Processes, TrainedModule
from ..loop.run import Measurement, Schedule, run_task
from .dataset import dev_files, load_splits, read_files
from .ensemble import EnsembleTraining, MemberTraining


def train_face_tracks(
    config: FaceTracksConfig,
    out: Path,
    resume: bool = False,
    allow_changes: bool = False,
    progress: Progress = shown,
) -> Path:
    """Trains, and returns the folder of the model, which `faces.face_tracks.load_folder` serves.

    The state of a run is the cache of features: a resumed run reads the clips that it lacks, and trains the networks
    anew. Raises the errors of `loop.run.run_task`.
    """
    return run_task(FaceTracksTask(config, progress), out, resume, allow_changes)


class FaceTracksTask:
    """The `Task` of `kind: face-tracks`; a step is an epoch of one network."""

    memory_advice = "lower `batch`"

    def __init__(self, config: FaceTracksConfig, progress: Progress = shown):
        self.config, self._progress = config, progress
        self.resume_note = f"features of the clips read so far are kept in {config.cache}"
        self.hashes: dict[str, str] = {}
        self.processes = Processes()
        self.trained: TrainedModule | None = None
        num_steps = config.members * config.epochs
        self.schedule = Schedule(num_steps, save_every=num_steps, evaluate_every=1)

    def build(self) -> None:
        trained, _ = read_files(self.config.train)
        if self.config.dev:
            for dev in read_files(dev_files(self.config))[0]:
                for file in trained:
                    require_held_out(file, dev)

    def prepare(self, fresh: bool) -> list[str]:
        print(f"features of clips that {self.config.cache} holds aren't computed again", file=sys.stderr)
        splits = load_splits(self.config, self._progress)
        self._training = EnsembleTraining(self.config, splits)
        train, dev = ("/".join(str(n) for n in dict.fromkeys(map(len, part))) for part in zip(*splits, strict=True))
        return [f"{train} pairs, {dev} on dev; {len(splits)} networks of at most {self.config.epochs} epochs"]

    def batches(self, first: int) -> Generator[tuple[int, MemberTraining], None, None]:
        with closing(self._training.members()) as members:
            yield from members

    def step(self, number: int, batch: MemberTraining) -> dict[str, float]:
        self._last = batch.run_epoch()
        return {"loss": self._last.loss}

    def measure(self) -> Measurement | None:
        return Measurement(dict(self._last.dev), {"member": self._last.member})

    def save_model(self, folder: Path) -> None:
        write_ensemble(folder, self._training.result())


def write_ensemble(out: Path, head: TrackHead) -> None:
    """Writes a new folder atomically."""
    partial = out.parent / f".{out.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        digest = write_weights(partial / WEIGHTS, tensor_entries(head.state_dict()))
        head.config = replace(head.config, weights_sha256=digest)
        (partial / CONFIG).write_text(head_config_json(head.config))
        os.rename(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
