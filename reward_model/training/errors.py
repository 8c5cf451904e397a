"""Errors that end a training, an evaluation or a filter run."""

from __future__ import annotations

# exit code of a command that a signal stopped
INTERRUPTED = 130


class TrainingError(Exception):
    """One message for the user at the terminal: what was wrong, which value caused it, and what to do instead."""


class NotFinite(TrainingError):
    """The loss or the gradient of a step is infinite or NaN. All processes raise it together.

    `quantity` and `value` say which, `context` names the inputs ("with pairs a, b"), `advice` a remedy.
    """

    def __init__(self, quantity: str, value: float, context: str, advice: str):
        super().__init__(f"the {quantity} is {value}, {context}. {advice}")
        self.quantity, self.value, self.context, self.advice = quantity, value, context, advice


class StepFailed(TrainingError):
    """A step that cannot be completed. All processes raise it together, before the step changed anything."""


class Interrupted(TrainingError):
    """A signal stopped the training. `num_processes` took part in it."""

    def __init__(self, message: str, num_processes: int = 1):
        super().__init__(message)
        self.num_processes = num_processes
