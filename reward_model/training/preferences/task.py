"""Training of a Qwen2.5-VL reward model on preference pairs: Identity-GRPO (arXiv 2510.14256) sections 3.2 and 4.1.

accelerate spreads it over processes (DDP, FSDP2, DeepSpeed, by its own configuration file). Each computes its slots of
every batch; up to rounding, what is learned does not depend on their number.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from functools import partial
from math import isfinite
from pathlib import Path

import torch
from accelerate import Accelerator, DistributedType

from reward_model.data.seeding import torch_seed
from reward_model.qwen.patches import packed_patches
from reward_model.qwen.preprocess import Preprocessor

from ..configs.preferences import PreferenceTrainingConfig
from ..data.media import FileMedia, MediaSource
from ..errors import NotFinite
from ..loop.processes import Processes, TrainedModule, reset_accelerate
from ..loop.result import write_result
from ..loop.run import Measurement, Schedule, run_task
from ..loop.schedule import set_rates
from ..models.initial import initial_hash, initial_model
from ..models.lora import add_lora
from ..models.packed import PackedRewards
from ..supervision.losses import LOSSES, FaceSupervision
from .distributed import gather_state, make_accelerator
from .features import FeatureMedia
from .groups import Group, comparisons
from .losses import preference_loss
from .measure import measure_dev
from .optimizer import build_optimizer, choose_trained
from .run_data import RunData


def train(config: PreferenceTrainingConfig, out: Path, resume: bool = False, allow_changes: bool = False) -> Path:
    """Trains, and returns the folder of the model. Raises the errors of `loop.run.run_task`."""
    try:
        return run_task(PreferenceTask(config), out, resume, allow_changes)
    finally:
        reset_accelerate()


class PreferenceTask:
    """The `Task` of `kind: reward`."""

    resume_note = "nothing was trained yet"
    memory_advice = "lower micro_batch, or set model.gradient_checkpointing"

    def __init__(self, config: PreferenceTrainingConfig):
        self.config = config
        self._loss = preference_loss(config.loss.kind, config.loss.theta, config.loss.margin)
        self._data = RunData(config, self._loss.learns_from_ties)
        self._accelerator: Accelerator = make_accelerator(config)
        self.processes = Processes(self._accelerator)
        self.schedule = Schedule(self._data.num_steps, config.save_every, config.evaluate_every)
        self.hashes = self._data.hashes | initial_hash(config.model)
        self.trained: TrainedModule | None = None

    def build(self) -> None:
        config = self.config
        self._model, self._tokenizer = initial_model(config.model, config.seed)
        if config.lora is not None:
            tokens = [self._tokenizer.special(token) for token in self._model.config.template.reward_tokens]
            add_lora(self._model, config.lora, tokens, config.seed)
        choose_trained(self._model, config)
        if config.model.gradient_checkpointing:
            self._model.body.gradient_checkpointing_enable({"use_reentrant": False})

    def prepare(self, fresh: bool) -> list[str]:
        accelerator, config = self._accelerator, self.config
        settings = self._model.config
        on_cpu = accelerator.device.type == "cpu"
        caches_features = config.data.features is not None
        preprocess = Preprocessor(settings, self._tokenizer, patch_later=not on_cpu and not caches_features)
        dtype = self._model.body.visual.patch_embed.proj.weight.dtype
        self._model.to(accelerator.device)
        packed = PackedRewards(
            self._model,
            partial(packed_patches, config=settings, device=accelerator.device, dtype=dtype),
            self._supervision(),
        )
        # before the tower is sharded: one process alone cannot call shards
        with accelerator.main_process_first():
            self._media = self._open_media(preprocess)
        self._packed, self._optimizer = accelerator.prepare(packed, build_optimizer(packed, config, "model."))
        self.trained = TrainedModule(self._packed, (self._optimizer,), accelerator)
        return [*self._data.warnings, self._description()]

    def _supervision(self) -> FaceSupervision | None:
        if self.config.supervision is None:
            return None
        torch.manual_seed(torch_seed(self.config.seed, "supervision"))
        return FaceSupervision(self._model.head.weight.shape[1]).to(self._accelerator.device)

    def _open_media(self, preprocess: Preprocessor) -> MediaSource:
        if self.config.data.features is None:
            return FileMedia(preprocess)
        media = FeatureMedia(preprocess, self._model, Path(self.config.data.features))
        media.prepare(self._data.references, self._data.videos)
        return media

    def _description(self) -> str:
        trained = sum(p.numel() for p in self._model.parameters() if p.requires_grad)
        total = sum(p.numel() for p in self._model.parameters())
        pools = ", ".join(f"{len(file.pairs)} {pool}" for pool, file in self._data.pools.items())
        return (
            f"{trained / 1e6:.2f} of {total / 1e6:.2f} million parameters are trained; pairs: {pools}; batches of "
            f"{self.config.batch} on {self.processes.count} process(es), {self.processes.device}, "
            f"{self.config.precision}"
        )

    def batches(self, first: int) -> Generator[tuple[int, list[Group]], None, None]:
        steps = self._data.steps(self._media, first, self.processes.index, self.processes.count)
        with closing(steps):
            yield from enumerate(steps, first)

    def step(self, number: int, batch: list[Group]) -> dict[str, float]:
        config, accelerator, trained = self.config, self._accelerator, self.trained
        assert trained is not None
        torch.manual_seed(torch_seed(config.seed, "step", number, accelerator.process_index))
        set_rates(self._optimizer, number, self.schedule.num_steps, config.optimizer)
        self._packed.train()
        size = min(config.micro_batch, len(batch))
        parts = [batch[start : start + size] for start in range(0, len(batch), size)]
        weight = self._data.weight(number)
        # sums of losses, of right pairs, of decided pairs, and of each loss of supervision
        total = torch.zeros(3 + len(LOSSES), device=accelerator.device)
        norm = 0.0
        for part in parts:
            with accelerator.accumulate(self._packed):
                rewards, supervised = self._forward(part)
                a, b, label = comparisons(part).to(rewards.device)
                difference = rewards[a] - rewards[b]
                loss = self._loss(difference, label).sum()
                decided = label != 0
                right = ((difference * label > 0) & decided).sum()
                total += torch.cat([torch.stack([loss.detach(), right, decided.sum()]), supervised.detach()])
                if (weights := config.supervision) is not None:
                    loss = weights.preferences * loss
                    loss = loss + sum(getattr(weights, name) * x for name, x in zip(LOSSES, supervised, strict=True))
                _require_finite(accelerator.reduce(loss.detach(), "sum").item(), "loss", part)
                # accelerate divides by the number of parts, and averages over processes
                accelerator.backward(loss / weight * accelerator.num_processes * len(parts))
                if accelerator.sync_gradients:
                    norm = float(
                        accelerator.clip_grad_norm_(self._packed.parameters(), config.optimizer.grad_clip) or 0
                    )
                    # DeepSpeed updates in its backward pass, before its norm is known
                    trained.updating = accelerator.distributed_type == DistributedType.DEEPSPEED
                    _require_finite(norm, "norm of the gradient", batch)
                trained.updating = accelerator.sync_gradients
                self._optimizer.step()
                self._optimizer.zero_grad()
        loss_sum, right_sum, decided_sum, *supervised_sums = accelerator.reduce(total, "sum").tolist()
        names = LOSSES if config.supervision is not None else ()
        return {
            "loss": loss_sum / weight,
            **({"accuracy": right_sum / decided_sum} if decided_sum else {}),
            "decided": decided_sum,
            **{name: value / weight for name, value in zip(names, supervised_sums, strict=False)},
            "grad_norm": norm,
            "auto_share": float(self._data.sampler.alpha_T[number]),
            **{f"rate_{group['name']}": group["lr"] for group in self._optimizer.param_groups},
        }

    def _forward(self, part: list[Group]) -> tuple[torch.Tensor, torch.Tensor]:
        """(rewards of all videos [N], losses of supervision [3])."""
        sequences = [sequence for group in part for sequence in group.sequences]
        if self.config.supervision is None:
            rewards = self._packed(sequences)
            return rewards.sum(-1), rewards.new_zeros(len(LOSSES))
        rewards, losses = self._packed(sequences, [faces for group in part for faces in group.faces])
        return rewards.sum(-1), losses

    def measure(self) -> Measurement | None:
        if self._data.dev is None:
            return None
        self._packed.eval()
        values = measure_dev(self._accelerator, self._packed, self._media, self._data.dev, self.config)
        numbers = {key: value for key, value in values.items() if isinstance(value, float)}
        summary = ", ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in numbers.items())
        return Measurement(values, summary=summary)

    def save_model(self, folder: Path) -> None:
        state = gather_state(self._accelerator, self._packed, self._model)
        if self.processes.is_main:
            write_result(folder, self._model.config, self._tokenizer, state, self.config.model.saved_dtype)


def _require_finite(value: float, quantity: str, groups: list[Group]) -> None:
    if not isfinite(value):
        names = ", ".join(group.name for group in groups)
        advice = (
            "Look at these pairs, or go on with lower rates: --resume --allow-changes --set learning_rates.language=..."
        )
        raise NotFinite(quantity, value, f"with pairs {names}", advice)
