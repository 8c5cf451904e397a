"""A run of `face-tracks`: its folder, what it tells, how it is stopped and gone on with, and the model it leaves."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from reward_model.checkpoint import tensor_entries, write_weights
from reward_model.data.progress import Progress, unseen
from reward_model.data.progress import progress as shown
from reward_model.faces.tracks.reward_head import TrackHead, head_config_json
from reward_model.folder import CONFIG, WEIGHTS

from ..errors import Interrupted
from ..loop.distributed import require_one_process
from ..loop.interruption import sigterm_as_ctrl_c
from ..loop.journal import Journal, draw_curves
from ..loop.result import RESULT
from ..loop.run_folder import make_run, open_run
from ..preferences.dataset import require_held_out
from .config import FaceTracksConfig
from .train import Epoch, dev_files, load_splits, read_files, say, train_heads


def train_face_tracks(
    config: FaceTracksConfig,
    out: Path,
    resume: bool = False,
    allow_changes: bool = False,
    progress: Progress = shown,
) -> Path:
    """Trains, and gives back the folder of the model, which `faces.face_tracks.load_folder` serves.

    The state of a run is the cache of features, so that with `resume` it goes on with the clips it has not read; heads
    are trained anew. TrainingError, RecordError or CheckpointError says what is wrong with what was given, and
    Interrupted that Ctrl-C or SIGTERM came.
    """
    opened = open_run(out, config, {}, resume, allow_changes)
    if opened.finished:
        say(f"{out}: finished already; the model is in {out / RESULT}")
        return out / RESULT
    require_one_process(config.kind)
    # what can't be learned from is told before anything is written
    trained, _ = read_files(config.train)
    if config.dev:
        for dev in read_files(dev_files(config))[0]:
            for file in trained:
                require_held_out(file, dev)
    make_run(out, config)
    for note in opened.notes:
        say(note)
    say(f"clips that {config.cache} knows aren't read again")
    try:
        with sigterm_as_ctrl_c():
            return _train(config, out, progress)
    except KeyboardInterrupt:
        raise Interrupted(f"stopped; what was read of clips is kept in {config.cache}") from None


def _train(config: FaceTracksConfig, out: Path, progress: Progress) -> Path:
    train, dev = load_splits(config, progress)
    journal = Journal(out, 0, config.members * config.epochs)

    def tell(epoch: Epoch) -> None:
        # a member that stops early leaves a gap
        step = epoch.member * config.epochs + epoch.number
        journal.record(step, member=epoch.member, dev=epoch.dev)
        journal.step(step, loss=epoch.loss)

    try:
        journal.say(f"{len(train)} pairs, {len(dev)} on dev; {config.members} heads of at most {config.epochs} epochs")
        # the journal shows it
        head, _ = train_heads(config, train, dev, unseen, tell)
        write_head(out / RESULT, head)
        with suppress(ImportError):  # matplotlib isn't needed to train
            draw_curves(out)
        journal.say(f"{out}: the model is in {out / RESULT}")
    finally:
        journal.close()
    return out / RESULT


def write_head(out: Path, head: TrackHead) -> None:
    """A new folder, all of it or nothing."""
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
