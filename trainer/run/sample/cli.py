"""`identity-reward grpo sample`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from reward_model.training.errors import INTERRUPTED, TrainingError

if TYPE_CHECKING:  # loaded when the command runs, so that its help does not wait for them
    from .pairs import SamplePlan
    from .scores import PairScores


def sample(
    config: Annotated[str, typer.Argument(help="The configuration of the run: RUN/config.yaml, or one that ships.")],
    adapter: Annotated[
        Path, typer.Option("--adapter", help="Folder of the adapter: RUN/model, or one of PEFT or diffusers.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="A new folder: videos, contact sheet, comparison.json.")],
    prompts: Annotated[
        Path | None, typer.Option("--prompts", help="CSV or JSONL; unset: data.evaluation_prompts of the config.")
    ] = None,
    videos: Annotated[int, typer.Option(min=1, help="Videos of a prompt, each with and without the adapter.")] = 1,
    url: Annotated[
        str | None, typer.Option("--url", help="The reward service, which scores the videos; unset: no scores.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A field of the config, its name with dots.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the videos in --out, and score them.")] = False,
    token: Annotated[
        str | None, typer.Option(envvar="IDENTITY_REWARD_TOKEN", help="Bearer token of the reward service.")
    ] = None,
) -> None:
    """Sample videos of a policy with and without an adapter, from the same noise, and compare their rewards.

    Exit code 1 if no video has a reward on both sides.
    """
    from trainer.errors import PolicyError

    # a policy of the user's own is imported from the folder that the command is started in
    sys.path.insert(0, str(Path.cwd()))
    try:
        from .command import run_sample

        plan, scores = run_sample(config, settings or [], adapter, prompts, videos, out, url, resume, token)
    except KeyboardInterrupt:
        typer.echo("identity-reward grpo sample: stopped; --resume goes on", err=True)
        raise typer.Exit(INTERRUPTED) from None
    except (TrainingError, PolicyError, OSError) as error:
        typer.echo(f"identity-reward grpo sample: {error}", err=True)
        raise typer.Exit(2) from None
    _summarise(plan, scores)


def _summarise(plan: SamplePlan, scores: PairScores | None) -> None:
    typer.echo(f"{len(plan.prompts) * plan.videos} pairs of videos are in {shlex.quote(str(plan.out))}")
    if scores is None:
        return
    for name, comparison in scores.comparisons.items():
        lost = f"; {count} rewards are missing" if (count := scores.missing(name)) else ""
        typer.echo(f"{name}: {comparison or 'no pair of videos has both rewards'}{lost}")
    if not any(scores.comparisons.values()):
        first = scores.errors[0]
        _fail(f"no video has a reward on both sides; the first error is {first.code}: {first.message}")


def _fail(message: str) -> NoReturn:
    typer.echo(f"identity-reward grpo sample: {message}", err=True)
    raise typer.Exit(1)
