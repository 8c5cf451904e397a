"""Batched inference of Qwen2.5-VL: sequences in, hidden states at their reward tokens out.

Shared prefixes and images are computed once, and nothing is padded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from identity_reward_client.errors import OutOfMemory

from .cache import TensorCache
from .config import RunnerConfig
from .language import LanguageRunner, PrefixState
from .memory import bytes_per_token
from .plan import BatchLayout, lay_out, split
from .rows import rows_for, send
from .sequence import TokenSequence, VisionClip
from .vision import VisionRunner


class Runner:
    """Runs token sequences through `model`, transformers' Qwen2_5_VLModel. Used from one thread at a time."""

    def __init__(
        self,
        model: Any,
        config: RunnerConfig = RunnerConfig(),
        patches: Callable[[list[VisionClip]], torch.Tensor] | None = None,
    ) -> None:
        """`patches` makes the clips' patches, end to end on the model's device, where clips hold something else."""
        self.model, self.config = model, config
        self.patches = patches or self._concatenated
        weight = model.language_model.embed_tokens.weight
        self.device, self.dtype = weight.device, weight.dtype
        rows = rows_for(self.device, config.deterministic_rows if config.deterministic else None)
        self.vision = VisionRunner(model.visual, rows, config.deterministic)
        self.language = LanguageRunner(model.language_model, rows, config.deterministic)
        self.features = TensorCache("features", self.device, config.feature_cache_bytes)
        self.prefixes = TensorCache("prefixes", self.device, config.prefix_cache_bytes, config.prefix_host_cache_bytes)

    @property
    def token_budget(self) -> int:
        """Tokens of one batch: the smaller of the limits by count and by memory."""
        memory = self.config.batch_memory_bytes
        by_memory = self.config.token_budget if memory is None else memory // bytes_per_token(self.model)
        return max(1, min(self.config.token_budget, by_memory))

    @torch.inference_mode()
    def __call__(self, sequences: Sequence[TokenSequence]) -> list[torch.Tensor | OutOfMemory]:
        """For each sequence the hidden states before the final norm at its reward tokens, [rewards, hidden].

        A batch that does not fit in memory is halved once; sequences that do not fit then get an OutOfMemory instead.
        """
        results: dict[int, torch.Tensor | OutOfMemory] = {}
        # prefixes of this call, so that a group that is split finds its prefix even if the cache evicts it
        prefixes: dict[str, PrefixState] = {}
        for key in {s.prefix_key for s in sequences if s.prefix_length}:
            if (state := self.prefixes.get(key)) is not None:
                prefixes[key] = state
        for indices in split(sequences, self.token_budget, set(prefixes)):
            batch = [sequences[i] for i in indices]
            for index, hidden in zip(indices, self._forward_within_memory(batch, prefixes), strict=True):
                results[index] = hidden
        return [results[index] for index in range(len(sequences))]

    def _forward_within_memory(
        self, batch: list[TokenSequence], prefixes: dict[str, PrefixState]
    ) -> Sequence[torch.Tensor | OutOfMemory]:
        try:
            return self._forward(batch, prefixes)
        except torch.OutOfMemoryError:
            self._free(prefixes)
        results: list[torch.Tensor | OutOfMemory] = []
        middle = (len(batch) + 1) // 2
        for half in (batch[:middle], batch[middle:]):
            try:
                results += self._forward(half, prefixes) if half else []
            except torch.OutOfMemoryError:
                self._free(prefixes)
                tokens = sum(map(len, half))
                error = OutOfMemory(f"{self.device} has not enough memory for {len(half)} videos of {tokens} tokens")
                results += [error] * len(half)
        return results

    def _free(self, prefixes: dict[str, PrefixState]) -> None:
        """Releases everything that is kept only to save time."""
        prefixes.clear()
        self.clear_caches()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def clear_caches(self) -> None:
        """Drops all cached features and prefixes."""
        self.features.clear()
        self.prefixes.clear()

    def _forward(self, batch: list[TokenSequence], prefixes: dict[str, PrefixState]) -> list[torch.Tensor]:
        layout = lay_out(batch, set(prefixes))
        token_ids = np.concatenate([s.token_ids[start:end] for s, start, end in layout.sources])
        positions = np.concatenate([s.positions[:, start:end] for s, start, end in layout.sources], axis=1)
        embedded = self.model.language_model.embed_tokens(send(token_ids, self.device))
        self._place_features(embedded, layout)
        hidden, new_prefixes = self.language(embedded, positions, layout, prefixes)
        prefixes.update(new_prefixes)
        for key, state in new_prefixes.items():
            self.prefixes.put(key, state)
        results: dict[int, torch.Tensor] = {}
        start = 0
        for index in layout.order:
            count = len(batch[index].reward_indices)
            results[index] = hidden[start : start + count]
            start += count
        return [results[index] for index in range(len(batch))]

    def _place_features(self, embedded: torch.Tensor, layout: BatchLayout) -> None:
        """Overwrites the rows of image and video tokens with their vision features."""
        placed: list[tuple[VisionClip, int]] = []
        row = 0
        for sequence, start, end in layout.sources:
            placed += [(clip, row + clip.start - start) for clip in sequence.clips_between(start, end)]
            row += end - start
        features = self._features([clip for clip, _ in placed])
        for (clip, first), feature in zip(placed, features, strict=True):
            embedded[first : first + clip.num_tokens] = feature

    def _features(self, clips: list[VisionClip]) -> list[torch.Tensor]:
        """Vision features of each clip; one tower pass over the distinct clips that no cache holds."""
        features: dict[object, torch.Tensor] = {}
        pending: dict[object, VisionClip] = {}
        for clip in clips:
            identity = self._identity(clip)
            if identity in features or identity in pending:
                continue
            cached = self.features.get(clip.key) if clip.key is not None else None
            if cached is not None:
                features[identity] = cached
            else:
                pending[identity] = clip
        if pending:
            computed = self.vision(self.patches(list(pending.values())), [clip.grid for clip in pending.values()])
            sizes = [clip.num_tokens for clip in pending.values()]
            for (identity, clip), feature in zip(pending.items(), computed.split(sizes), strict=True):
                features[identity] = feature
                if clip.key is not None:
                    self.features.put(clip.key, feature.clone())
        return [features[self._identity(clip)] for clip in clips]

    def _concatenated(self, clips: list[VisionClip]) -> torch.Tensor:
        return torch.cat([clip.patches.to(self.device, non_blocking=True) for clip in clips])

    @staticmethod
    def _identity(clip: VisionClip) -> object:
        return clip.key if clip.key is not None else id(clip)
