"""Commands `identity-reward import-checkpoint` and `export-checkpoint`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn


def import_checkpoint(
    checkpoint: Annotated[Path, typer.Option(help="The released checkpoint: model_config.json and checkpoint-NUMBER.")],
    upstream: Annotated[Path, typer.Option(help="Your checkout of the released code; its prompt is read, not run.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    base: Annotated[Path | None, typer.Option(help="Qwen2.5-VL-3B-Instruct, where the checkpoint is LoRA.")] = None,
    step: Annotated[int | None, typer.Option(help="Which checkpoint; the highest number by default.")] = None,
    name: Annotated[str, typer.Option(help="The model's name in responses.")] = "identity-reward",
    sampling: Annotated[
        str | None, typer.Option(help="identity-grpo or paper; the checkpoint's own by default.")
    ] = None,
    positions: Annotated[str, typer.Option(help="Position ids of transformers 4.51 (as released) or 5.")] = "4.51",
    vision_ids: Annotated[bool, typer.Option("--vision-ids", help="Name each image in the prompt.")] = False,
    dtype: Annotated[str | None, typer.Option(help="float32 or bfloat16 on disk; exact values by default.")] = None,
) -> None:
    """Turn a released Identity-GRPO reward checkpoint into a folder that `identity-reward serve --model` accepts."""
    from .config import FRAME_SAMPLINGS, PositionDialect
    from .folder import CheckpointError
    from .importing.importer import import_checkpoint as run
    from .qwen.loading import DTYPES

    _check_choice("--sampling", sampling, FRAME_SAMPLINGS)
    _check_choice("--positions", positions, ("4.51", "5"))
    _check_choice("--dtype", dtype, DTYPES)
    columns = (TextColumn("importing"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("weights", total=None)
        try:
            config = run(
                checkpoint,
                upstream,
                out,
                base,
                step=step,
                name=name,
                sampling=sampling,
                position_dialect=cast(PositionDialect, positions),
                vision_ids=vision_ids,
                dtype=DTYPES[dtype] if dtype else None,
                progress=lambda written, total: bar.update(task, completed=written, total=total),
            )
        except CheckpointError as error:
            bar.stop()
            _fail("import-checkpoint", error)
    sampling_name = config.frame_sampling.name
    typer.echo(f"{out}: {config.name} {config.version}, frames {sampling_name}, fingerprint {config.fingerprint[:16]}")


def export_checkpoint(
    model: Annotated[Path, typer.Option(help="A folder that import-checkpoint or training wrote.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    base_name: Annotated[
        str, typer.Option(help="What model_config.json names as the base.")
    ] = "Qwen/Qwen2.5-VL-3B-Instruct",
) -> None:
    """Write a reward model in the layout of the released Identity-GRPO code."""
    from .folder import CheckpointError
    from .importing.exporter import export_checkpoint as run

    try:
        typer.echo(str(run(model, out, base_name)))
    except CheckpointError as error:
        _fail("export-checkpoint", error)


def _check_choice(option: str, value: str | None, choices: Iterable[str]) -> None:
    if value is not None and value not in choices:
        raise typer.BadParameter(f"{value!r} is none of {', '.join(choices)}", param_hint=option)


def _fail(command: str, error: Exception) -> None:
    typer.echo(f"identity-reward {command}: {error}", err=True)
    raise typer.Exit(2)
