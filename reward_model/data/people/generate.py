"""Writes a data set of people: scenarios drawn by worker processes, each a function of seed and number alone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import cast

from ..progress import Steps
from ..records import PreferencePair, Reference
from .draw import generator
from .folder import DataFolder
from .media import ClipWriter, Mp4Writer, PackedWriter, write_picture
from .openpeople import NoPhotos
from .options import Options, PeopleError, share_out
from .pairs import choose_pairs, make_pair
from .renderer import RendererError, RendererKind, open_renderer
from .source import RenderedPeople, Scene, Source


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
        from .photos import Photos

        return Photos(options.seed, options.size, options.clips_per_scenario, options.splits)
    return RenderedPeople(options.seed, options.size, options.clips_per_scenario, options.renderer)


def _run(
    folder: DataFolder, options: Options, splits: list[str], todo: list[int], workers: int, steps: Steps | None
) -> None:
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_start, initargs=(folder.out, options)
    )
    waiting = iter(todo)
    running: dict[Future[list[PreferencePair]], int] = {}
    try:
        while True:
            with _deaf():
                for n in islice(waiting, 2 * workers - len(running)):
                    running[pool.submit(_scenario, n, splits[n])] = n
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                folder.add(running.pop(future), future.result())
                if steps is not None:
                    steps.advance()
    except BrokenProcessPool:
        raise PeopleError("a worker process died (out of memory?); the same command goes on where it stopped") from None
    except OSError as error:
        told = f"{error.filename or folder.out}: {error.strerror or error}; the same command goes on where it stopped"
        raise PeopleError(told) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes that are started here don't hear Ctrl-C: this one does, and ends them."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    warnings.simplefilter("ignore", RuntimeWarning)  # said once by the parent
    _worker = _Worker(out, options)


def _end_with(parent) -> None:
    """A parent that was killed leaves no workers behind."""
    parent.join()
    os._exit(1)


def _scenario(index: int, split: str) -> list[PreferencePair]:
    return _worker.write(index, split)
