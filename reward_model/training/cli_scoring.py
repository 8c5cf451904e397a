"""`identity-reward evaluate-reward` and `identity-reward filter-pairs`: commands that score pairs with a model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from identity_reward_client.preference import THETA

if TYPE_CHECKING:
    from ..scorer import Scorer

Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")]
Dtype = Annotated[str | None, typer.Option(help="float32 or bfloat16, for a folder's model; the device's by default.")]
Batch = Annotated[int, typer.Option(min=1, help="Videos of one forward.")]
Workers = Annotated[int, typer.Option(min=1, help="Threads that read and prepare.")]


def _valid_theta(theta: float) -> float:
    if not 1 < theta < inf:
        raise typer.BadParameter(f"{theta} is no finite number above 1")
    return theta


Theta = Annotated[
    float, typer.Option(callback=_valid_theta, help="Of Bradley-Terry-with-Ties: what the model was trained with.")
]
Predictions = Annotated[
    Path | None, typer.Option(help="JSONL that keeps what was scored; a second run scores only what it lacks.")
]
# clusters below this number make intervals unreliable
FEW_CLUSTERS = 10


def evaluate_reward(
    pairs: Annotated[Path, typer.Argument(help="JSONL of preference pairs.")],
    model: Annotated[list[str] | None, typer.Option(help="A model's name or folder; several are compared.")] = None,
    dev: Annotated[Path | None, typer.Option(help="Other pairs, on which the width of a tie is fitted.")] = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write all numbers here.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="PNG of accuracies per corruption; beside --json by default.")
    ] = None,
    misses: Annotated[
        Path | None, typer.Option(help="JPEG of the ten pairs on which the first model is most wrong.")
    ] = None,
    predictions: Predictions = None,
    batch: Batch = 16,
    workers: Workers = 2,
    device: Device = "cpu",
    dtype: Dtype = None,
    theta: Theta = THETA,
    seed: Annotated[int, typer.Option(help="Of the resamples.")] = 0,
    resamples: Annotated[int, typer.Option(min=100, help="Of the clusters, for the intervals.")] = 4000,
) -> None:
    """Accuracy of reward models on preference pairs, with and without ties, per corruption, with 95 % intervals."""
    with _reporting_errors("evaluate-reward"):
        from ..data.progress import progress
        from ..registry import DEFAULT_SCORER, require_registered
        from .data.pairs import read_pair_file, shared_persons
        from .evaluation.evaluation import Evaluation
        from .evaluation.misses import draw_misses
        from .evaluation.predictions import predict
        from .evaluation.report import plot_accuracies, tables

        models = model or [DEFAULT_SCORER]
        plot_path = plot or (json_path.with_suffix(".png") if json_path else None)
        _make_folders(json_path, plot_path, misses, predictions)
        test, held_out = read_pair_file(pairs), read_pair_file(dev) if dev is not None else None
        if held_out is not None and (shared := shared_persons(test.pairs, held_out.pairs)):
            same = f"{dev} and {pairs} show the same persons ({shared})"
            typer.echo(f"{same}: the width of a tie is fitted on people who are tested on", err=True)
        for name in models:
            with _unknown_names():
                require_registered(name)
        evaluation = Evaluation(test.pairs, seed, resamples, theta)
        for name in models:
            scorer = _scorer(name, device, dtype)
            runs = []
            for file in (test, held_out):
                if file is not None:
                    options: dict[str, Any] = {"batch": batch, "workers": workers, "progress": progress}
                    runs.append(predict(scorer, file.path, file.pairs, predictions, **options))
            evaluation.add(scorer.info, runs[0], (held_out.pairs, runs[1]) if held_out is not None else None)
            if misses is not None and name == models[0]:
                draw_misses(misses, test.path, test.pairs, runs[0])
        console = Console()
        for table in tables(evaluation):
            console.print(table)
        if (clusters := evaluation.bootstrap.num_clusters) < FEW_CLUSTERS:
            console.print(f"intervals resample {clusters} cluster(s) of people: too few to rely on")
        if test.num_undecided:
            console.print(f"{test.num_undecided} pairs without a majority are left out")
        if json_path is not None:
            json_path.write_text(json.dumps({"pairs": str(pairs), **evaluation.to_json()}, indent=1) + "\n")
        if plot_path is not None:
            plot_accuracies(evaluation, plot_path)


def filter_pairs(
    pool: Annotated[Path, typer.Argument(help="JSONL of pairs whose labels are to be checked.")],
    model: Annotated[str, typer.Option(help="The teacher: a model's name or folder, trained on clean pairs.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="JSONL to write.")],
    rule: Annotated[
        str, typer.Option(help="sign: a decided label needs the teacher's sign; verdict: its most likely outcome.")
    ] = "sign",
    predictions: Predictions = None,
    json_path: Annotated[Path | None, typer.Option("--json", help="Write the counts here.")] = None,
    batch: Batch = 16,
    workers: Workers = 2,
    device: Device = "cpu",
    dtype: Dtype = None,
    theta: Theta = THETA,
) -> None:
    """Keep the pairs on whose label a teacher agrees (arXiv 2510.14256, section 3.2.2)."""
    if rule not in ("sign", "verdict"):
        raise typer.BadParameter(f"{rule!r} is neither sign nor verdict", param_hint="--rule")
    with _reporting_errors("filter-pairs"):
        from ..data.progress import progress
        from ..data.records import relocate, write_pairs
        from .data.pairs import read_pair_file
        from .errors import TrainingError
        from .evaluation.predictions import predict
        from .preferences import teacher

        if out.exists():
            raise TrainingError(f"{out} exists already; give another --out, or remove it")
        _make_folders(out, json_path, predictions)
        file, scorer = read_pair_file(pool), _scorer(model, device, dtype)
        predicted = predict(scorer, pool, file.pairs, predictions, batch=batch, workers=workers, progress=progress)
        kept, report = teacher.filter_pairs(file.pairs, predicted, scorer.info.preference_scale, rule, theta)  # type: ignore[arg-type]
        write_pairs(out, relocate(kept, pool, out))
        values = teacher.report_json(report, teacher=scorer.info.name, fingerprint=scorer.info.fingerprint, rule=rule)
        if json_path is not None:
            json_path.write_text(json.dumps(values, indent=1) + "\n")
        typer.echo(f"{out}: {report.num_kept} of {report.num_pairs} pairs kept ({report.kept_share:.1%})")
        if report.num_unscored:
            typer.echo(f"{report.num_unscored} pairs have a video that couldn't be scored; none of them is kept")
        if report.precision_before is not None:
            typer.echo(
                f"labels that are right: {report.precision_before:.1%} before, {report.precision_after:.1%} after"
            )


def _scorer(name: str, device: str, dtype: str | None) -> Scorer:
    from ..registry import load_scorer

    with _unknown_names():
        return load_scorer(name, device, dtype)


@contextmanager
def _unknown_names() -> Iterator[None]:
    """Turns the KeyError of a name that no model has into a TrainingError."""
    from .errors import TrainingError

    try:
        yield
    except KeyError as error:
        raise TrainingError(f"{error.args[0]}, or give a model's folder") from None


def _make_folders(*files: Path | None) -> None:
    """Creates the folders of output files, so that a failure comes before anything is computed."""
    for file in files:
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)


@contextmanager
def _reporting_errors(verb: str) -> Iterator[None]:
    """Errors that a user can correct become one message and exit code 2, Ctrl-C exit code 130."""
    from identity_reward_client.errors import RewardError

    from ..data.records import RecordError
    from ..folder import CheckpointError
    from .errors import TrainingError

    try:
        yield
    except (TrainingError, CheckpointError, RecordError, RewardError) as error:
        typer.echo(f"identity-reward {verb}: {error}", err=True)
        raise typer.Exit(2) from None
    except OSError as error:
        file = f"{error.filename}: " if error.filename else ""
        typer.echo(f"identity-reward {verb}: {file}can't be read or written: {error.strerror or error}", err=True)
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        typer.echo(f"identity-reward {verb}: stopped; what --predictions holds isn't scored again", err=True)
        raise typer.Exit(130) from None
