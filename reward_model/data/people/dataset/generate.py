"""Writes a data set of people: scenarios drawn by worker processes, each a function of seed and number alone."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from reward_model.data.progress import Steps
from reward_model.data.records import PreferencePair, Reference
from reward_model.data.seeding import generator
from reward_model.data.workers import results_of

from ..photographs.openpeople import NoPhotos
from ..rendering.factory import RendererError, RendererKind, open_renderer
from ..scenarios.options import Options, PeopleError, share_out
from ..scenarios.sources import RenderedPeople, Scene, Source
from .folder import DataFolder
from .media import ClipWriter, Mp4Writer, PackedWriter, write_picture
from .pairs import choose_pairs, make_pair


@dataclass(frozen=True)
class Written:
    pairs: dict[str, int]
    scenarios: int
    new_scenarios: int


def generate(out: Path, options: Options, workers: int = 2, steps: Steps | None = None) -> Written:
    """Goes on where an interrupted run with the same arguments stopped; KeyboardInterrupt leaves what is whole.

    `steps` counts scenarios. PeopleError for what can't be written.
    """
    options = _settled(options)
    folder = DataFolder(out, options)
    try:
        total = options.num_scenarios
        if steps is not None:
            steps.begin(len(folder.done))
        splits = share_out(options.splits, total)
        todo = [n for n in range(total) if n not in folder.done]
        if todo:
            folder.require_same_versions()
            _run(folder, options, splits, todo, min(workers, len(todo)), steps)
        return Written(folder.finish(options.pairs), total, len(todo))
    finally:
        folder.close()


def _settled(options: Options) -> Options:
    """With what draws on this machine: opened once here, so that a fault of it is said before anything is written."""
    if options.packed is not None:
        PackedWriter(options.size, options.packed)
    try:
        if options.photos:
            open_source(options).close()
            return options
        renderer = open_renderer(options.renderer)
        renderer.close()
        return replace(options, renderer=cast(RendererKind, renderer.kind))
    except (RendererError, NoPhotos) as error:
        raise PeopleError(str(error)) from None


def open_source(options: Options) -> Source:
    if options.photos:
        from ..photographs.source import Photos

        return Photos(options.seed, options.size, options.clips_per_scenario, options.splits)
    return RenderedPeople(options.seed, options.size, options.clips_per_scenario, options.renderer)


def _run(
    folder: DataFolder, options: Options, splits: list[str], todo: list[int], workers: int, steps: Steps | None
) -> None:
    tasks = ((n, splits[n]) for n in todo)
    try:
        with closing(results_of(_scenario, tasks, workers, _start, (folder.out, options))) as results:
            for (n, _), pairs in results:
                folder.add(n, pairs)
                if steps is not None:
                    steps.advance()
    except BrokenProcessPool:
        raise PeopleError("a worker process died (out of memory?); the same command goes on where it stopped") from None
    except OSError as error:
        told = f"{error.filename or folder.out}: {error.strerror or error}; the same command goes on where it stopped"
        raise PeopleError(told) from None


class _Worker:
    """What a worker process has opened."""

    def __init__(self, out: Path, options: Options):
        self.out, self.options = out, options
        self.source = open_source(options)
        self.writer: ClipWriter = (
            PackedWriter(options.size, options.packed) if options.packed else Mp4Writer(options.size)
        )

    def write(self, index: int, split: str) -> list[PreferencePair]:
        """A scenario's files, and its records."""
        options = self.options
        scene = self.source.scene(index, split)
        references = []
        for number, (person, draw) in enumerate(scene.references):
            reference = Reference(path=f"references/{scene.name}{'abc'[number]}.png", person=person)
            write_picture(self.out / reference.path, draw())
            references.append(reference)
        paths = [f"clips/{clip.name}{self.writer.suffix}" for clip in scene.clips]
        pairs = scene_pairs(options, index, split, scene, references, paths, self.source.licence)
        used = {path for pair in pairs for path in (pair.video_a, pair.video_b)}
        for path, clip in zip(paths, scene.clips, strict=True):
            if path in used:
                self.writer.write(self.out / path, clip)
        return pairs


def scene_pairs(
    options: Options,
    index: int,
    split: str,
    scene: Scene,
    references: Sequence[Reference],
    paths: Sequence[str],
    licence: str,
) -> list[PreferencePair]:
    """The records of scenario `index`; paths: of its clips. Reads and draws nothing."""
    rng = generator("pairs", options.seed, index)
    clips = scene.clips
    chosen = choose_pairs(rng, [clip.modes for clip in clips], options.pairs_per_scenario)
    return [
        make_pair(
            options.seed,
            f"{scene.name}-{number}",
            options.labels,
            prompt=scene.prompt,
            references=references,
            clips=(clips[a].modes, clips[b].modes),
            people=clips[a].people | clips[b].people,
            paths=(paths[a], paths[b]),
            cluster=scene.cluster,
            split=split,
            fps=options.size.fps,
            licence=licence,
        )
        for number, (a, b) in enumerate(chosen)
    ]


_worker: _Worker


def _start(out: Path, options: Options) -> None:
    global _worker
    warnings.simplefilter("ignore", RuntimeWarning)  # said once by the parent
    _worker = _Worker(out, options)


def _scenario(index: int, split: str) -> list[PreferencePair]:
    return _worker.write(index, split)
