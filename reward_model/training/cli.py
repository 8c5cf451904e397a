"""`identity-reward train-reward`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from .errors import INTERRUPTED, Interrupted, TrainingError


def train_reward(
    config: Annotated[
        str,
        typer.Argument(
            help="A YAML file, or one that ships: smoke, face-tracks, compact-vision, compact-language, compact, "
            "paper, release."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of the run: state, curves, the model.")],
    data: Annotated[
        Path | None, typer.Option(help="A data set's folder: its train.jsonl is learned from, dev.jsonl measured on.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A field of the config, its name with dots.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in --out stopped.")] = False,
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="Go on although config or pairs differ from the run's.")
    ] = False,
) -> None:
    """Train a reward model on preference pairs. Ctrl-C writes the state; --resume goes on from it."""
    # torch and accelerate are imported when a training starts, so that the command's help does not wait for them
    from safetensors import SafetensorError

    from ..data.records import RecordError
    from ..folder import CheckpointError
    from .configs.face_tracks import FaceTracksConfig
    from .configs.files import read_config
    from .configs.preferences import PreferenceTrainingConfig
    from .configs.vision_pretraining import VisionPretrainingConfig

    try:
        chosen = read_config(config, settings or [], data)
        if isinstance(chosen, PreferenceTrainingConfig):
            from .preferences.task import train

            train(chosen, out, resume, allow_changes)
        elif isinstance(chosen, VisionPretrainingConfig):
            from .vision_pretraining.task import pretrain_vision

            pretrain_vision(chosen, out, resume, allow_changes)
        elif isinstance(chosen, FaceTracksConfig):
            from .face_tracks.task import train_face_tracks

            train_face_tracks(chosen, out, resume, allow_changes)
    except Interrupted as stop:
        command = ["identity-reward", "train-reward"]
        if stop.num_processes > 1:
            command = ["accelerate", "launch", "-m", "reward_model.training"]
        command += [str(out / "config.yaml"), "--out", str(out), "--resume"]
        typer.echo(f"identity-reward train-reward: {stop}\nto go on: {shlex.join(command)}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except (TrainingError, CheckpointError, RecordError, OSError, SafetensorError) as error:
        typer.echo(f"identity-reward train-reward: {error}", err=True)
        raise typer.Exit(2) from None
