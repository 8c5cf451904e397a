"""What stops a training, and why."""

from __future__ import annotations


class TrainingError(Exception):
    """One message for the person at the terminal: what was wrong, what was given, what would do."""


class Interrupted(TrainingError):
    """Somebody asked the training to stop; its state was written. `num_processes` were at it."""

    def __init__(self, message: str, num_processes: int = 1):
        super().__init__(message)
        self.num_processes = num_processes
