"""`identity-reward data`: checks, converts and generates preference data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(no_args_is_help=True, help="Preference data: check it, or render people to learn from.")

MAX_LISTED = 20


@app.command()
def check(
    pairs: Annotated[list[Path], typer.Argument(help="JSONL files of one data set, such as DATA/*.jsonl.")],
    workers: Annotated[int, typer.Option(min=1, help="Processes that decode.")] = 2,
) -> None:
    """Look for missing and unreadable files, wrong labels, duplicate ids and people in several splits.

    Exit status 1 when there are problems, 2 when a file holds no pairs at all.
    """
    from rich.console import Console
    from rich.table import Table

    from .check import check_media, check_records, media_of, read_files
    from .progress import progress
    from .records import RecordError

    try:
        files, problems = read_files(pairs)
    except RecordError as error:
        typer.echo(f"identity-reward data check: {error}", err=True)
        raise typer.Exit(2) from None
    problems += check_records(files)
    with progress("files", len(media_of(files))) as steps:
        problems += check_media(files, workers, steps.advance)
    table = Table("file", "splits", "pairs", "A", "B", "tie", "no majority", "people", box=None)
    for file in files:
        counts = [str(file.labels[label]) for label in ("A", "B", "tie", "none")]
        table.add_row(file.path.name, ", ".join(file.splits), str(len(file.pairs)), *counts, str(len(file.people)))
    Console().print(table)
    if not problems:
        typer.echo("no problems")
        return
    kinds: dict[str, int] = {}
    for problem in problems:
        kinds[problem.kind] = kinds.get(problem.kind, 0) + 1
    for problem in problems[:MAX_LISTED]:
        typer.echo(f"{problem.kind}: {problem.message}", err=True)
    if len(problems) > MAX_LISTED:
        typer.echo(f"... and {len(problems) - MAX_LISTED} more", err=True)
    counted = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    typer.echo(f"{len(problems)} problems: {counted}", err=True)
    raise typer.Exit(1)


@app.command()
def convert(
    pairs: Annotated[Path, typer.Argument(help="JSONL of pairs, or a CSV with VideoAlign's columns and ref_paths.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write, .csv or .jsonl.")],
    label: Annotated[str, typer.Option(help="The CSV's column of labels.")] = "SA",
    split: Annotated[str, typer.Option(help="Of the pairs of a CSV.")] = "train",
    source: Annotated[
        Literal["human", "vlm", "construction"], typer.Option(help="Who labelled a CSV's pairs.")
    ] = "human",
    licence: Annotated[str, typer.Option(help="Of a CSV's videos and images.")] = "",
) -> None:
    """Pairs from VideoAlign's or VideoGen-RewardBench's CSV to JSONL and back; paths lead to the same files."""
    from .csv_formats import read_csv, write_csv
    from .records import RecordError, read_pairs, relocate, write_pairs

    kinds = (pairs.suffix, out.suffix)
    try:
        if sorted(kinds) != [".csv", ".jsonl"]:
            raise RecordError(f"{pairs} to {out}: one of them is a .csv and the other a .jsonl")
        if out.exists():
            raise RecordError(f"{out} exists already; give another --out, or remove it")
        if kinds[0] == ".csv":
            records = read_csv(pairs, label, split=split, source=source, licence=licence)
        else:
            records = read_pairs(pairs)
    except RecordError as error:
        typer.echo(f"identity-reward data convert: {error}", err=True)
        raise typer.Exit(2) from None
    out.parent.mkdir(parents=True, exist_ok=True)
    rows = relocate(records, pairs, out)
    if kinds[0] == ".csv":
        write_pairs(out, rows)
    else:
        write_csv(out, rows, label)
    undecided = sum(pair.label is None for pair in records)
    typer.echo(f"{out}: {len(records)} pairs" + (f", {undecided} without a label" if undecided else ""))


@app.command()
def people(
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write, or to resume.")],
    pairs: Annotated[int, typer.Option(min=1, help="How many pairs of clips.")],
    seed: Annotated[int, typer.Option(help="The same seed gives the same pixels.")] = 0,
    per_scenario: Annotated[
        int, typer.Option("--pairs-per-scenario", min=1, help="Pairs of one cast, of its six clips.")
    ] = 6,
    labels: Annotated[
        Literal["exact", "human", "auto"],
        typer.Option(help="Votes: exact, three annotators, or the confusions of a vision-language model."),
    ] = "exact",
    split: Annotated[str, typer.Option(help="Shares of the splits; nobody is in two.")] = "",
    frames: Annotated[
        Literal["mp4", "packed"], typer.Option(help="Video files, or only the frames that a model sees.")
    ] = "mp4",
    packed_frames: Annotated[int, typer.Option(min=1, help="Frames of a packed clip, evenly spaced.")] = 8,
    packed_size: Annotated[str, typer.Option(help="Height x width of packed frames.")] = "140x252",
    sampling: Annotated[str, typer.Option(help="A model's frame sampling, in place of the two before.")] = "",
    size: Annotated[str, typer.Option(help="Height x width of clips.")] = "240x416",
    num_frames: Annotated[int, typer.Option(help="Frames of a clip.")] = 33,
    fps: Annotated[float, typer.Option(help="Frames per second.")] = 16.0,
    workers: Annotated[int, typer.Option(min=1, help="Processes that render.")] = 2,
    photos: Annotated[bool, typer.Option("--photos", help="Photographs of the ten people of OpenPeople.")] = False,
    nuisances: Annotated[
        bool, typer.Option("--nuisances", help="Dark, tinted, soft, noisy or small clips, and strong compression.")
    ] = False,
    renderer: Annotated[Literal["auto", "gl", "numpy"], typer.Option(help="gl needs EGL; numpy is slow.")] = "auto",
) -> None:
    """Make clips, references and labelled pairs of people whose identities are known; run it again to resume.

    Exit status 2 for arguments that don't go together, 130 when interrupted.
    """
    import time

    from .people.dataset.generate import generate
    from .people.scenarios.options import SPLITS, PackedOptions, PeopleError, PeopleOptions, parse_size, parse_splits
    from .people.scenarios.scenario import ClipSize
    from .progress import progress

    start = time.monotonic()
    try:
        height, width = parse_size(size, "--size")
        packed = PackedOptions(packed_frames, *parse_size(packed_size, "--packed-size"), sampling or None)
        options = PeopleOptions(
            pairs=pairs,
            seed=seed,
            pairs_per_scenario=per_scenario,
            labels=labels,
            splits=parse_splits(split) if split else {"test": 1.0} if photos else dict(SPLITS),
            packed=packed if frames == "packed" else None,
            photos=photos,
            size=ClipSize(num_frames, fps, width, height),
            renderer=renderer,
            nuisances=nuisances,
        )
        with progress("scenarios", options.num_scenarios) as steps:
            written = generate(out, options, workers, steps)
    except PeopleError as error:
        typer.echo(f"identity-reward data people: {error}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo(f"stopped; the same command goes on with {out}", err=True)
        raise typer.Exit(130) from None
    counts = ", ".join(f"{split} {count}" for split, count in written.pairs.items())
    took = f"{written.new_scenarios} of {written.scenarios} scenarios in {time.monotonic() - start:.0f} s"
    typer.echo(f"{out}: pairs {counts}; {took}")
