"""Scorer of every Qwen2.5-VL reward model: `tiny`, `compact` and models in folders."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import isfinite

import numpy as np
import torch

from identity_reward_client.errors import DeviceLost, NonFiniteReward, OutOfMemory

from ..config import RewardModelConfig
from ..scorer import ScorerInfo
from ..types import CacheCount, ReferenceSet, Sample, Score, Video
from .model import RewardModel
from .patches import packed_patches
from .preprocess import Preprocessor
from .pricing import SequencePricer
from .runner.config import RunnerConfig
from .runner.runner import Runner
from .runner.sequence import TokenSequence
from .tokenizer import TextTokenizer


class QwenScorer:
    """A Scorer (`reward_model.scorer`). Its prepared samples are `TokenSequence`s, its raw outputs lists of floats."""

    def __init__(self, model: RewardModel, tokenizer: TextTokenizer, runner: RunnerConfig = RunnerConfig()) -> None:
        config = model.config
        self.model = model
        self.preprocess = Preprocessor(config, tokenizer, patch_later=model.device.type != "cpu")
        self.price = SequencePricer(config.template, tokenizer, config.frame_pixels, config.reference_pixels)
        patches = partial(packed_patches, config=config, device=model.device, dtype=model.dtype)
        self.runner = Runner(model.body, runner, patches)
        self.info = scorer_info(config, model)

    @torch.inference_mode()
    def forward(self, batch: Sequence[TokenSequence]) -> list[list[float] | OutOfMemory]:
        """The model's float32 outputs for each sequence, or the error of a sequence that does not fit in memory.

        The runner shares what sequences have in common. DeviceLost when the device fails for good.
        """
        model = self.model
        try:
            hidden = self.runner(batch)
            rewards = [model.rewards(rows) for rows in hidden if isinstance(rows, torch.Tensor)]
            # one synchronisation with the device for the whole batch
            outputs = iter(torch.stack(rewards).tolist() if rewards else [])
        except torch.AcceleratorError as error:  # memory has its own error; after this one every call fails
            raise DeviceLost(f"{model.device}: {str(error).splitlines()[0]}") from error
        return [next(outputs) if isinstance(rows, torch.Tensor) else rows for rows in hidden]

    def postprocess(self, raw: Sequence[float] | OutOfMemory) -> Score:
        """The sum of the normalised outputs; each of them in `details` where there are several."""
        if isinstance(raw, OutOfMemory):
            raise raw
        config = self.model.config
        if not all(isfinite(value) for value in raw):
            raise NonFiniteReward(
                f"the model computed {list(raw)}, which is no reward", details={"raw": [str(value) for value in raw]}
            )
        if config.normalization is not None:
            raw = [(value - mean) / std for value, (mean, std) in zip(raw, config.normalization, strict=True)]
        details = dict(zip(config.outputs, raw, strict=True)) if len(raw) > 1 else {}
        return Score(float(sum(raw)), details)

    def caches(self) -> tuple[CacheCount, ...]:
        """Counts of the feature cache and the prefix cache."""
        return self.runner.features.count, self.runner.prefixes.count

    def warm_up(self) -> None:
        """Scores one grey clip with one reference image of the usual size."""
        sampling = self.model.config.frame_sampling
        indices = sampling.indices(33, 10.0)
        video = Video(np.full((len(indices), 240, 416, 3), 128, np.uint8), 10.0, 33, indices)
        references = ReferenceSet((np.full((512, 512, 3), 128, np.uint8),))
        raw = self.forward([self.preprocess(Sample(references, video))])
        self.postprocess(raw[0])


def scorer_info(config: RewardModelConfig, model: RewardModel) -> ScorerInfo:
    """Description of a loaded model, as a server lists it."""
    return ScorerInfo(
        name=config.name,
        version=config.version,
        fingerprint=config.fingerprint,
        domain=config.domain,
        description=config.description,
        frame_sampling=config.frame_sampling,
        meaningful=config.meaningful,
        prompt_used=config.template.prompt_used,
        max_references=config.max_references,
        preference_scale=config.preference_scale,
        num_parameters=sum(parameter.numel() for parameter in model.parameters()),
        dtype=str(model.dtype).removeprefix("torch."),
        device=str(model.device),
    )
