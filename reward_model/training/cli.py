"""`identity-reward train-reward`."""

from __future__ import annotations

import shlex
from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer

INTERRUPTED = 130
FACE_TRACKS = "face-tracks"


def train_reward(
    config: Annotated[
        str, typer.Argument(help="A YAML file, or one that ships: smoke, compact, face-tracks, paper, release.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder of the run: state, curves, the model.")],
    data: Annotated[
        Path | None, typer.Option(help="A data set's folder: its train.jsonl is data.clean, its dev.jsonl data.dev.")
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
    from ..data.records import RecordError
    from ..folder import CheckpointError
    from .config_file import parse_config, read_values
    from .errors import Interrupted, TrainingError

    try:
        kind = read_values(config)[0].get("kind")
        overrides = list(settings or [])
        if data is not None:
            overrides = [*(_track_data_set(data) if kind == FACE_TRACKS else _data_set(data)), *overrides]
        values, where = read_values(config, overrides)
        if kind == FACE_TRACKS:
            _train_face_tracks(values, where, out)
            return
        chosen = parse_config(values, where)
        from .trainer import train

        train(chosen, out, resume, allow_changes)
    except Interrupted as stop:
        command = ["identity-reward", "train-reward", str(out / "config.yaml"), "--out", str(out), "--resume"]
        typer.echo(f"identity-reward train-reward: {stop}\nto go on: {shlex.join(command)}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except (TrainingError, CheckpointError, RecordError) as error:
        typer.echo(f"identity-reward train-reward: {error}", err=True)
        raise typer.Exit(2) from None


def _train_face_tracks(values: dict[str, Any], where: str, out: Path) -> None:
    """The head is the folder `out` itself; features of clips that are known already aren't computed again."""
    from .config_file import parse_as
    from .face_tracks import train_face_tracks
    from .track_config import FaceTracksConfig

    train_face_tracks(parse_as(FaceTracksConfig, values, where), out)
    typer.echo(f"{out}: a face-tracks head")


def _track_data_set(folder: Path) -> list[str]:
    found = [f"train=[{{path: {dumps(str(folder / 'train.jsonl'))}}}]", f"cache={folder / '.face-tracks'}"]
    if (folder / "dev.jsonl").is_file():
        found.append(f"dev=[{dumps(str(folder / 'dev.jsonl'))}]")
    return found


def _data_set(folder: Path) -> list[str]:
    """--set of a data set's folder; a folder without train.jsonl is told of when it is read."""
    found = [f"data.clean={folder / 'train.jsonl'}"]
    if (folder / "dev.jsonl").is_file():
        found.append(f"data.dev={folder / 'dev.jsonl'}")
    return found
