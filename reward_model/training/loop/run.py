"""The run loop: opens or resumes a run, trains, measures, saves its state, and stops or finishes it.

Every kind of training is a `Task`. The loop decides when its methods are called and what happens on a signal, on too
little memory, on a file that cannot be read and on a loss that is not finite; in each case the state of the last
completed step is saved where that is possible. With several processes all of them stop together.
"""

from __future__ import annotations

import sys
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any, Protocol, TypeVar

import torch

from ..configs.base import RunConfig
from ..errors import Interrupted, NotFinite, StepFailed, TrainingError
from .curves import draw_curves
from .interruption import StopRequest, sigterm_as_ctrl_c
from .journal import Journal
from .processes import Processes, TrainedModule
from .result import RESULT
from .run_folder import OpenedRun, make_run, open_run

Batch = TypeVar("Batch")


@dataclass(frozen=True)
class Schedule:
    """Numbers of steps: of the whole run, between saved states, and between measurements on dev."""

    num_steps: int
    save_every: int
    evaluate_every: int
    # measure before the first step too; the journal has it as step -1
    evaluate_first: bool = False


@dataclass(frozen=True)
class Measurement:
    """Values on dev for the journal, further fields of that line, and a summary for the terminal."""

    dev: dict[str, Any]
    labels: dict[str, Any] = field(default_factory=dict)
    summary: str = ""


class Task(Protocol[Batch]):
    """A kind of training.

    `hashes` identify the inputs (sha256 by field of the configuration); a resumed run must find them again. `trained`
    is None where a training keeps no state between steps; a resumed run then starts with step 0, and
    `resume_note` says what it need not compute again. `memory_advice` says how to use less memory.
    """

    schedule: Schedule
    hashes: dict[str, str]
    processes: Processes
    trained: TrainedModule | None
    resume_note: str
    memory_advice: str

    @property
    def config(self) -> RunConfig: ...

    def build(self) -> None:
        """Reads the inputs and builds the model. An error in it leaves no run folder behind."""

    def prepare(self, fresh: bool) -> Sequence[str]:
        """Long work before the first step; sets `trained`. `fresh`: no state will be restored. Returns lines for the
        terminal."""

    def batches(self, first: int) -> Generator[tuple[int, Batch], None, None]:
        """(number of a step, its inputs) from step `first` on. Numbers increase and may leave gaps; where they end, the
        run does. TrainingError for a file that cannot be read is raised in its own step."""

    def step(self, number: int, batch: Batch) -> dict[str, float]:
        """One step, as a rule of one optimizer step; values for the journal, `loss` among them. Raises NotFinite or
        StepFailed before an update."""

    def measure(self) -> Measurement | None:
        """Measures on dev; None where there is nothing to measure on."""

    def save_model(self, folder: Path) -> None:
        """Writes the trained model to a new folder; every process calls it."""


def run_task(task: Task[Any], out: Path, resume: bool = False, allow_changes: bool = False) -> Path:
    """Runs a training in the folder `out` and returns the folder of the model.

    Raises TrainingError, CheckpointError or RecordError before anything is computed, or with the state saved;
    Interrupted after SIGINT or SIGTERM.
    """
    opened = open_run(out, task.config, task.hashes, resume, allow_changes)
    run = _Run(task, out)
    if opened.finished:
        run.say(f"{out}: finished already; the model is in {out / RESULT}")
        return out / RESULT
    task.processes.require_support(task.config.kind)
    task.build()
    return run.start(opened)


class _Run:
    def __init__(self, task: Task[Any], out: Path):
        self.task, self.out = task, out
        # number of completed steps
        self.completed = 0
        self.saved: Path | None = None
        self.journal: Journal | None = None
        self._saved_step = -1
        self._measured_step = -1

    def say(self, text: str) -> None:
        if self.journal is not None:
            self.journal.say(text)
        elif self.task.processes.is_main:
            print(text, file=sys.stderr)

    def start(self, opened: OpenedRun) -> Path:
        task, main = self.task, self.task.processes.is_main
        if main and opened.state is None:
            make_run(self.out, task.config)
        for note in opened.notes:
            self.say(note)
        try:
            with sigterm_as_ctrl_c():
                lines = task.prepare(opened.state is None)
        except KeyboardInterrupt:
            raise Interrupted(f"stopped; {task.resume_note}", task.processes.count) from None
        if opened.state is not None and task.trained is not None:
            self.completed = task.trained.restore(opened.state)
            self.saved = opened.state
            if main:
                make_run(self.out, task.config)
        task.processes.wait()
        self.journal = journal = Journal(self.out, self.completed, task.schedule.num_steps, main)
        try:
            for line in lines:
                journal.say(line)
            journal.say(f"steps {self.completed} to {task.schedule.num_steps}")
            with StopRequest() as stop:
                if task.schedule.evaluate_first and self.completed == 0:
                    self._measure(journal)
                self._train(journal, stop)
            return self._finish(journal)
        finally:
            journal.close()

    def _train(self, journal: Journal, stop: StopRequest) -> None:
        task, schedule = self.task, self.task.schedule
        with closing(task.batches(self.completed)) as batches:
            while True:
                problem = entry = None
                try:
                    entry = next(batches, None)
                except TrainingError as error:
                    problem = error
                if entry is None and problem is None:
                    if self.completed < schedule.num_steps:  # the task ended the run early
                        self._save()
                        self._measure(journal)
                    return
                self._agree_to_continue(problem, stop.requested)
                assert entry is not None
                number, batch = entry
                start = monotonic()
                journal.step(number, **self._step(number, batch), seconds=monotonic() - start)
                self.completed = number + 1
                last = self.completed == schedule.num_steps
                if self.completed % schedule.save_every == 0 or last:
                    self._save()
                if self.completed % schedule.evaluate_every == 0 or last:
                    self._measure(journal)

    def _agree_to_continue(self, problem: TrainingError | None, stop: bool) -> None:
        """All processes stop together, with their state saved."""
        failed, stopped = self.task.processes.any_of(problem is not None, stop)
        if failed or stopped:
            self._save()
        if problem is not None:
            raise TrainingError(f"step {self.completed + 1}: {problem}. {self._last_state()}")
        if failed:
            raise TrainingError("another process could not read its pairs")
        if stopped:
            note = f"its state is in {self.saved}" if self.task.trained is not None else self.task.resume_note
            raise Interrupted(f"stopped after step {self.completed}; {note}", self.task.processes.count)

    def _step(self, number: int, batch: Any) -> dict[str, float]:
        trained = self.task.trained
        try:
            values = self.task.step(number, batch)
        except torch.OutOfMemoryError:
            raise self._too_little_memory(f"step {number + 1}") from None
        except StepFailed as error:
            self._save()
            raise TrainingError(f"step {number + 1}: {error}. {self._last_state()}") from None
        except NotFinite as error:
            # all processes raise it, so that they can save together
            updating = trained is not None and trained.updating
            if trained is not None and trained.all_finite() and not updating:
                self._save()
            unchanged = "" if updating else "; it changed nothing"
            raise TrainingError(
                f"the {error.quantity} of step {number + 1} is {error.value}, {error.context}{unchanged}. "
                f"{self._last_state()}. {error.advice}"
            ) from None
        if trained is not None:
            trained.updating = False
        return values

    def _too_little_memory(self, what: str) -> TrainingError:
        processes, trained = self.task.processes, self.task.trained
        # other processes may wait in a forward pass, so that nothing can be saved together
        if processes.count == 1 and not (trained is not None and trained.updating):
            self._save()
        return TrainingError(
            f"{processes.device} has too little memory for {what}; {self.task.memory_advice}, and --resume. "
            f"{self._last_state()}"
        )

    def _last_state(self) -> str:
        if self.task.trained is None:
            return f"On --resume, {self.task.resume_note}"
        return f"The last state is in {self.saved}" if self.saved else "No state was written yet"

    def _measure(self, journal: Journal) -> None:
        if self._measured_step == self.completed:
            return
        self._measured_step = self.completed
        try:
            measured = self.task.measure()
        except TrainingError as error:
            self._save()
            raise TrainingError(
                f"measuring on dev after step {self.completed}: {error}. {self._last_state()}"
            ) from None
        except torch.OutOfMemoryError:
            raise self._too_little_memory(f"measuring on dev after step {self.completed}") from None
        if measured is None:
            return
        if measured.dev:
            journal.record(self.completed - 1, **measured.labels, dev=measured.dev)
        if measured.summary:
            journal.say(f"step {self.completed}, dev: {measured.summary}")

    def _save(self) -> None:
        if self.task.trained is not None and self._saved_step != self.completed:
            self.saved = self.task.trained.save(self.out, self.completed, self.task.hashes)
            self._saved_step = self.completed

    def _finish(self, journal: Journal) -> Path:
        folder = self.out / RESULT
        self.task.save_model(folder)
        if self.task.processes.is_main:
            with suppress(ImportError):  # matplotlib is optional
                draw_curves(self.out)
        self.task.processes.wait()
        journal.say(f"{self.out}: the model is in {folder}")
        return folder
