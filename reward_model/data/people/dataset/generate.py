"""Writes a data set of people with worker processes; each scenario is a function of seed and index alone."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from string import ascii_lowercase

from reward_model.data.progress import Steps
from reward_model.data.records import PreferencePair, Reference
from reward_model.data.seeding import generator
from reward_model.data.workers import results_of

from ..photographs.openpeople import PhotographsMissing
from ..photographs.source import PhotographedPeople
from ..rendering.factory import open_renderer
from ..scenarios.options import PeopleError, PeopleOptions, assign_by_shares
from ..scenarios.sources import RenderableScenario, RenderedPeople, ScenarioSource
from ..scenes.renderer import RendererError
from .folder import DataFolder
from .media import ClipWriter, Mp4Writer, PackedWriter, write_png
from .pairs import make_pair, sample_pairs


@dataclass(frozen=True)
class WrittenDataset:
    """Numbers of pairs by split, of all scenarios, and of those that this run wrote."""

    pairs: dict[str, int]
    scenarios: int
    new_scenarios: int


def generate(out: Path, options: PeopleOptions, workers: int = 2, steps: Steps | None = None) -> WrittenDataset:
    """Writes the data set, resuming an interrupted run with the same options; KeyboardInterrupt keeps complete files.

    `steps` counts scenarios. PeopleError where files cannot be written.
    """
    options = _resolve_renderer(options)
    folder = DataFolder(out, options)
    try:
        total = options.num_scenarios
        if steps is not None:
            steps.begin(len(folder.complete))
        splits = assign_by_shares(options.splits, total)
        pending = [n for n in range(total) if n not in folder.complete]
        if pending:
            folder.require_same_versions()
            _write_scenarios(folder, options, splits, pending, min(workers, len(pending)), steps)
        return WrittenDataset(folder.finish(options.pairs), total, len(pending))
    finally:
        folder.close()


def _resolve_renderer(options: PeopleOptions) -> PeopleOptions:
    """Options with the renderer that works here. It is opened once, so that errors come before anything is written."""
    if options.packed is not None:
        PackedWriter(options.size, options.packed)
    try:
        if options.photos:
            open_source(options).close()
            return options
        renderer = open_renderer(options.renderer)
        renderer.close()
        return replace(options, renderer=renderer.kind)
    except (RendererError, PhotographsMissing) as error:
        raise PeopleError(str(error)) from None


def open_source(options: PeopleOptions) -> ScenarioSource:
    if options.photos:
        return PhotographedPeople(options.seed, options.size, options.clips_per_scenario, options.splits)
    return RenderedPeople(options.seed, options.size, options.clips_per_scenario, options.renderer)


def _write_scenarios(
    folder: DataFolder,
    options: PeopleOptions,
    splits: list[str],
    pending: list[int],
    workers: int,
    steps: Steps | None,
) -> None:
    tasks = ((n, splits[n]) for n in pending)
    try:
        with closing(results_of(_write_scenario, tasks, workers, _start_worker, (folder.out, options))) as results:
            for (n, _), pairs in results:
                folder.add(n, pairs)
                if steps is not None:
                    steps.advance()
    except BrokenProcessPool:
        raise PeopleError("a worker process died (out of memory?); the same command goes on where it stopped") from None
    except OSError as error:
        raise PeopleError(
            f"{error.filename or folder.out}: {error.strerror or error}; the same command goes on where it stopped"
        ) from None


class ScenarioWriter:
    """Writes scenarios within one worker process."""

    def __init__(self, out: Path, options: PeopleOptions):
        self.out, self.options = out, options
        self.source = open_source(options)
        self.clip_writer: ClipWriter = (
            PackedWriter(options.size, options.packed) if options.packed else Mp4Writer(options.size)
        )

    def write(self, index: int, split: str) -> list[PreferencePair]:
        """Writes a scenario's references and the clips that its pairs use; returns its records."""
        scenario = self.source.scenario(index, split)
        if self.options.nuisances:
            scenario = scenario.with_nuisances(self.options.seed)
        references = []
        for letter, reference in zip(ascii_lowercase, scenario.references, strict=False):
            record = Reference(path=f"references/{scenario.name}{letter}.png", person=reference.person)
            write_png(self.out / record.path, reference.render())
            references.append(record)
        paths = [f"clips/{clip.name}{self.clip_writer.suffix}" for clip in scenario.clips]
        pairs = scenario_pairs(self.options, index, split, scenario, references, paths, self.source.licence)
        used = {path for pair in pairs for path in (pair.video_a, pair.video_b)}
        for path, clip in zip(paths, scenario.clips, strict=True):
            if path in used:
                self.clip_writer.write(self.out / path, clip)
        return pairs


def scenario_pairs(
    options: PeopleOptions,
    index: int,
    split: str,
    scenario: RenderableScenario,
    references: Sequence[Reference],
    paths: Sequence[str],
    licence: str,
) -> list[PreferencePair]:
    """The records of scenario `index`, without rendering anything. `paths`: of its clips' files."""
    rng = generator("pairs", options.seed, index)
    clips = scenario.clips
    selected = sample_pairs(rng, [clip.severities for clip in clips], options.pairs_per_scenario)
    return [
        make_pair(
            options.seed,
            f"{scenario.name}-{number}",
            options.labels,
            prompt=scenario.prompt,
            references=references,
            clips=(clips[a], clips[b]),
            paths=(paths[a], paths[b]),
            cluster=scenario.cluster,
            split=split,
            fps=options.size.fps,
            licence=licence,
        )
        for number, (a, b) in enumerate(selected)
    ]


# of this worker process
_writer: ScenarioWriter


def _start_worker(out: Path, options: PeopleOptions) -> None:
    global _writer  # noqa: PLW0603  # concurrent.futures has no other place for a worker's state
    # the parent has warned about a slow renderer already
    warnings.simplefilter("ignore", RuntimeWarning)
    _writer = ScenarioWriter(out, options)


def _write_scenario(index: int, split: str) -> list[PreferencePair]:
    return _writer.write(index, split)
