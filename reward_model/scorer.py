"""Protocol of a scorer: a model that computes rewards of samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from identity_reward_client.frame_sampling import FrameSampling

from .types import CacheCount, Price, Sample, Score, Size


@dataclass(frozen=True)
class ScorerInfo:
    """Description of a model: fields that a server lists, and those that clients need to prepare inputs for it."""

    name: str
    version: str
    # SHA-256 over weights and preprocessing: models with equal ones give equal scores in one dtype
    fingerprint: str
    # the kind of images the model was trained on: "photographs", "rendered people", "none"
    domain: str
    description: str
    frame_sampling: FrameSampling
    # False: random weights; the numbers mean nothing
    meaningful: bool = True
    prompt_used: bool = False
    max_references: int = 8
    # Bradley-Terry-with-Ties probabilities are those of preference_scale * (r_A - r_B)
    preference_scale: float = 1.0
    num_parameters: int = 0
    dtype: str = "float32"
    device: str = "cpu"


class Scorer(Protocol):
    """A model on the server. Its batches go through `preprocess`, `forward` and `postprocess`.

    `preprocess` is called from several threads at once, `forward` from one thread at a time. Samples of one group share
    their `ReferenceSet` object, whose `keys` let a scorer cache what it computes for an image. Errors are classes of
    `identity_reward_client.errors`; a failure is never a number.
    """

    info: ScorerInfo

    def price(self, references: Sequence[Size], num_frames: int, size: Size, prompt: str | None) -> Price:
        """Cost in tokens of a sample with `num_frames` sampled frames of `size` (height, width). Takes no time."""
        ...

    def preprocess(self, sample: Sample) -> Any:
        """All work on one sample but the model's, on the CPU. The result is an element of `forward`'s batch.

        Raises InvalidMedia, or ReferenceWithoutFace, for pixels that the model cannot score.
        """
        ...

    def forward(self, batch: Sequence[Any]) -> Sequence[Any]:
        """The model over a batch of prepared samples: one raw output for each, in order.

        A sample's output does not depend on the others. Raises DeviceLost when the device fails for good.
        """
        ...

    def postprocess(self, raw: Any) -> Score:
        """One raw output to a score; raises NonFiniteReward for NaN or infinity, or the error that `raw` is."""
        ...

    def warm_up(self) -> None:
        """Runs everything once, so that the first request is as fast as later ones."""
        ...

    def caches(self) -> Sequence[CacheCount]:
        """Counters of its caches; may be called from any thread."""
        ...
