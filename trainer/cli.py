"""`identity-reward grpo`."""

from __future__ import annotations

import shlex
import sys
from errno import ENOSPC
from pathlib import Path
from typing import Annotated

import typer

INTERRUPTED = 130


def grpo(
    config: Annotated[
        str, typer.Argument(help="A YAML file of kind grpo, or one that ships: smoke, people, vace-1.3b.")
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The folder of the run: state, curves, contact sheets, the adapter.")
    ],
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A field of the config, its name with dots.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in --out stopped.")] = False,
    allow_changes: Annotated[
        bool, typer.Option("--allow-changes", help="Go on although config or prompts differ from the run's.")
    ] = False,
    token: Annotated[
        str | None, typer.Option(envvar="IDENTITY_REWARD_TOKEN", help="Bearer token of the reward service.")
    ] = None,
) -> None:
    """Align a video policy with the reward of a running service, by GRPO. Ctrl-C writes the state; --resume goes on."""
    # torch and accelerate are imported when a training starts, so that the command's help does not wait for them
    from reward_model.training.errors import Interrupted, TrainingError

    from .config import read_grpo_config
    from .errors import PolicyError
    from .run.start import start

    # a policy of the user's own is imported from the folder that the command is started in
    sys.path.insert(0, str(Path.cwd()))
    try:
        start(read_grpo_config(config, settings or []), out, resume, allow_changes, token)
    except Interrupted as stop:
        command = ["identity-reward", "grpo"]
        if stop.num_processes > 1:
            command = ["accelerate", "launch", "-m", "trainer.cli"]
        command += [str(out / "config.yaml"), "--out", str(out), "--resume"]
        typer.echo(f"identity-reward grpo: {stop}\nto go on: {shlex.join(command)}", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except (TrainingError, PolicyError, OSError) as error:
        full = isinstance(error, OSError) and error.errno == ENOSPC
        text = (
            f"the disk of {out} is full; free some space, and --resume goes on from the last state" if full else error
        )
        typer.echo(f"identity-reward grpo: {text}", err=True)
        raise typer.Exit(2) from None


if __name__ == "__main__":  # accelerate launch -m trainer.cli CONFIG --out RUN
    typer.run(grpo)
