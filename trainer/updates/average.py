"""Moving average of trained weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch


class WeightAverage:
    """Averages of parameters by name, in float32, on the parameters' device."""

    def __init__(self, parameters: Mapping[str, torch.nn.Parameter]):
        self._parameters = dict(parameters)
        self.tensors = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    @torch.no_grad()
    def update(self, decay: float) -> None:
        """average = decay average + (1 - decay) parameter."""
        for name, parameter in self._parameters.items():
            self.tensors[name].lerp_(parameter.detach(), 1 - decay)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The parameters have the values of the averages inside the context."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    @torch.no_grad()
    def _exchange(self) -> None:
        for name, parameter in self._parameters.items():
            current = parameter.detach().clone()
            parameter.copy_(self.tensors[name])
            self.tensors[name].copy_(current)


def decay_of(update: int, limit: float) -> float:
    """Decay in update 0, 1, ...: min((1 + n) / (10 + n), limit), so that the first weights are soon forgotten."""
    return min((1 + update) / (10 + update), limit)
