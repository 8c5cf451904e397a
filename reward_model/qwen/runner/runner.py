"""Sequences in, hidden states at their reward tokens out: what is shared is computed once, nothing is padded."""

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
from .plan import lay_out, split
from .rows import rows_for, send
from .sequence import Clip, TokenSequence
from .vision import VisionRunner


class Runner:
    """`model`: transformers' Qwen2_5_VLModel. Used from one thread at a time."""

    def __init__(
        self,
        model: Any,
        config: RunnerConfig = RunnerConfig(),
        patches: Callable[[list[Clip]], torch.Tensor] | None = None,
    ):
        """`patches` gives clips' patches end to end on the model's device: for clips that hold something else."""
        self.model, self.config = model, config
        self.patches = patches or self._joined
        weight = model.language_model.embed_tokens.weight
        self.device, self.dtype = weight.device, weight.dtype
        rows = rows_for(self.device, config.deterministic_rows if config.deterministic else None)
        self.vision = VisionRunner(model.visual, rows, config.deterministic)
        self.language = LanguageRunner(model.language_model, rows, config.deterministic)
        self.features = TensorCache("features", self.device, config.feature_cache_bytes)
        self.prefixes = TensorCache("prefixes", self.device, config.prefix_cache_bytes, config.prefix_host_cache_bytes)

    @property
    def token_budget(self) -> int:
        """Tokens of one batch, by count and by memory."""
        memory = self.config.batch_memory_bytes
        by_memory = self.config.token_budget if memory is None else memory // bytes_per_token(self.model)
        return max(1, min(self.config.token_budget, by_memory))

    @torch.inference_mode()
    def __call__(self, sequences: Sequence[TokenSequence]) -> list[torch.Tensor | OutOfMemory]:
        """The hidden state, before the final norm, at every reward token: [rewards, hidden] for each sequence.

        A batch that does not fit in memory is halved once; what does not fit then has an error in its place.
        """
        results: dict[int, torch.Tensor | OutOfMemory] = {}
        held: dict[
            str, PrefixState
        ] = {}  # of this call: a group that is split finds its prefix whatever the cache does
        for key in {s.prefix_key for s in sequences if s.prefix_length}:
            if (state := self.prefixes.get(key)) is not None:
                held[key] = state
        for numbers in split(sequences, self.token_budget, set(held)):
            batch = [sequences[n] for n in numbers]
            for number, hidden in zip(numbers, self._within_memory(batch, held), strict=True):
                results[number] = hidden
        return [results[number] for number in range(len(sequences))]

    def _within_memory(self, batch: list[TokenSequence], held: dict[str, PrefixState]) -> list:
        try:
            return self._forward(batch, held)
        except torch.OutOfMemoryError:
            self._free(held)
        results: list = []
        middle = (len(batch) + 1) // 2
        for half in (batch[:middle], batch[middle:]):
            try:
                results += self._forward(half, held) if half else []
            except torch.OutOfMemoryError:
                self._free(held)
                tokens = sum(map(len, half))
                error = OutOfMemory(f"{self.device} has not enough memory for {len(half)} videos of {tokens} tokens")
                results += [error] * len(half)
        return results

    def _free(self, held: dict[str, PrefixState]) -> None:
        """Everything that is only kept to save time."""
        held.clear()
        self.clear_caches()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def clear_caches(self) -> None:
        self.features.clear()
        self.prefixes.clear()

    def _forward(self, batch: list[TokenSequence], held: dict[str, PrefixState]) -> list[torch.Tensor]:
        layout = lay_out(batch, set(held))
        token_ids = np.concatenate([s.token_ids[start:end] for s, start, end in layout.sources])
        positions = np.concatenate([s.positions[:, start:end] for s, start, end in layout.sources], axis=1)
        embedded = self.model.language_model.embed_tokens(send(token_ids, self.device))
        self._place_features(embedded, layout)
        hidden, new = self.language(embedded, positions, layout, held)
        held.update(new)
        for key, state in new.items():
            self.prefixes.put(key, state)
        results: dict[int, torch.Tensor] = {}
        at = 0
        for number in layout.order:
            count = len(batch[number].reward_indices)
            results[number] = hidden[at : at + count]
            at += count
        return [results[number] for number in range(len(batch))]

    def _place_features(self, embedded: torch.Tensor, layout) -> None:
        """Overwrite the rows of picture and video tokens with their vision features."""
        placed: list[tuple[Clip, int]] = []
        row = 0
        for sequence, start, end in layout.sources:
            placed += [(clip, row + clip.start - start) for clip in sequence.clips_between(start, end)]
            row += end - start
        features = self._features([clip for clip, _ in placed])
        for (clip, at), feature in zip(placed, features, strict=True):
            embedded[at : at + clip.num_tokens] = feature

    def _features(self, clips: list[Clip]) -> list[torch.Tensor]:
        """One tower pass over the clips that no cache holds, each distinct one once."""
        known: dict[object, torch.Tensor] = {}
        todo: dict[object, Clip] = {}
        for clip in clips:
            key = self._identity(clip)
            if key in known or key in todo:
                continue
            kept = self.features.get(clip.key) if clip.key is not None else None
            if kept is not None:
                known[key] = kept
            else:
                todo[key] = clip
        if todo:
            computed = self.vision(self.patches(list(todo.values())), [clip.grid for clip in todo.values()])
            sizes = [clip.num_tokens for clip in todo.values()]
            for (key, clip), feature in zip(todo.items(), computed.split(sizes), strict=True):
                known[key] = feature
                if clip.key is not None:
                    self.features.put(clip.key, feature.clone())
        return [known[self._identity(clip)] for clip in clips]

    def _joined(self, clips: list[Clip]) -> torch.Tensor:
        return torch.cat([clip.patches.to(self.device, non_blocking=True) for clip in clips])

    @staticmethod
    def _identity(clip: Clip) -> object:
        return clip.key if clip.key is not None else id(clip)
