"""`identity-reward grpo`: trains a video policy, and has subcommands for what comes before and after."""

from __future__ import annotations

import shlex
import sys
from errno import ENOSPC
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from reward_model.training.errors import INTERRUPTED, Interrupted, TrainingError

from .prompts.cli import prompts
from .run.sample.cli import sample

if TYPE_CHECKING:
    from .config import GrpoConfig


class DefaultCommandGroup(TyperGroup):
    """Arguments that start with no command and not with --help are those of `default_command`."""

    default_command = "train"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the default command before its arguments, and parse them."""
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = [self.default_command, *args]
        return super().parse_args(ctx, args)


grpo = typer.Typer(
    cls=DefaultCommandGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    subcommand_metavar="CONFIG --out RUN | COMMAND [ARGS]...",
    help="Align a video policy with a reward. `identity-reward grpo CONFIG --out RUN` trains, as `grpo train` does; "
    "a configuration that is called like a command is given as a path, ./prompts.",
)


@grpo.command()
def train(
    config: Annotated[
        str, typer.Argument(help="A YAML file of kind grpo, or one that ships: smoke, people, vace-1.3b, phantom-1.3b.")
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
    plan_only: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan of a run, check all that it needs, and train nothing.")
    ] = False,
    gpus: Annotated[int, typer.Option("--gpus", min=1, help="GPUs that --dry-run plans for.")] = 1,
    gpu_gb: Annotated[float, typer.Option("--gpu-gb", min=1.0, help="Memory of each, in GB.")] = 80.0,
    token: Annotated[
        str | None, typer.Option(envvar="IDENTITY_REWARD_TOKEN", help="Bearer token of the reward service.")
    ] = None,
) -> None:
    """Train a video policy with the reward of a running service, by GRPO. The word `train` may be left out.

    Ctrl-C writes the state; --resume goes on. --dry-run says what a step costs and finds what is missing, without the
    weights of the policy.
    """
    # torch and accelerate are imported when a training starts, so that the command's help does not wait for them
    from .config import read_grpo_config
    from .errors import PolicyError
    from .run.start import start

    # a policy of the user's own is imported from the folder that the command is started in
    sys.path.insert(0, str(Path.cwd()))
    try:
        if plan_only:
            _plan(read_grpo_config(config, settings or []), out, gpus, gpu_gb, token)
            return
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


def _plan(config: GrpoConfig, out: Path, gpus: int, gpu_gb: float, token: str | None) -> None:
    """Exit code 2 where there are problems."""
    from .run.planning.dry_run import dry_run

    text, problems = dry_run(config, out, gpus, gpu_gb, token)
    typer.echo(text)
    for problem in problems:
        typer.echo(f"identity-reward grpo: {problem}", err=True)
    if problems:
        raise typer.Exit(2)


grpo.command()(prompts)
grpo.command()(sample)


if __name__ == "__main__":  # accelerate launch -m trainer.cli CONFIG --out RUN
    grpo(prog_name="trainer.cli")
