"""A scorer is a model on the server: samples in, rewards out, by three verbs, a price and a warm-up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from identity_reward_client.frame_sampling import FrameSampling

from .types import CacheCount, Price, Sample, Score, Size


@dataclass(frozen=True)
class ScorerInfo:
    name: str
    version: str
    # sha256 over weights and preprocessing: equal ones give equal scores for equal bytes in one dtype
    fingerprint: str
    # what the model knows, in a word: "photographs", "rendered people", "none"
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
    """`preprocess` is called from several threads at once, `forward` from one thread at a time.

    Samples of one group share their `ReferenceSet` object; `ReferenceSet.keys` let a scorer keep what it computed for
    a picture. Errors are `identity_reward_client.errors.RewardError`s.
    """

    info: ScorerInfo

    def price(self, references: Sequence[Size], num_frames: int, size: Size, prompt: str | None) -> Price:
        """What a sample of these sizes costs, in tokens: `num_frames` frames of `size` after sampling. Quick."""
        ...

    def preprocess(self, sample: Sample) -> Any:
        """CPU work of one sample: everything but the model."""
        ...

    def forward(self, batch: Sequence[Any]) -> Sequence[Any]:
        """The model, over a batch of what `preprocess` gave; one raw output each, in order."""
        ...

    def postprocess(self, raw: Any) -> Score:
        """One raw output to a score. A reward that is not finite raises NonFiniteReward."""
        ...

    def warm_up(self) -> None:
        """Run everything once, so that the first request pays nothing for being first."""
        ...

    def caches(self) -> Sequence[CacheCount]:
        """What it kept of earlier samples, counted; may be called from any thread."""
        ...
