"""The training itself: draws, packed forward, loss, step; measured, written and stopped so that nothing is lost.

accelerate takes it to many processes (DDP, FSDP2, DeepSpeed, by its own config file): each computes its slots of every
batch, and what is learned does not depend on how many there are, but for rounding.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from math import isfinite
from pathlib import Path
from time import monotonic

import torch
from accelerate import Accelerator, DistributedType

from reward_model.data.seeding import torch_seed
from reward_model.qwen.patches import packed_patches
from reward_model.qwen.preprocess import Preprocessor

from ..config import TrainConfig
from ..errors import Interrupted, TrainingError
from ..loop.distributed import all_finite, gather_state, make_accelerator, reset_accelerate, restore, save_state
from ..loop.interruption import StopRequest
from ..loop.journal import Journal, draw_curves
from ..loop.optimizer import build_optimizer, choose_trained, set_rates
from ..loop.result import RESULT, write_result
from ..loop.run_folder import make_run, open_run
from ..vision_pretraining.supervision import LOSSES, HeadSupervision
from .features import FeatureMedia
from .groups import Group, comparisons
from .initial import initial_hash, initial_model
from .lora import add_lora
from .losses import preference_loss
from .measure import measure_dev
from .media import FileMedia, MediaSource
from .packed import PackedRewards
from .run_data import RunData


def train(config: TrainConfig, out: Path, resume: bool = False, allow_changes: bool = False) -> Path:
    """Trains, and gives back the folder of the model. TrainingError, CheckpointError or RecordError stop it before
    anything is computed, or with its state written; Interrupted when a signal asked for it."""
    try:
        loss = preference_loss(config.loss.kind, config.loss.theta, config.loss.margin)
        data = RunData(config, loss.learns_from_ties)
        accelerator = make_accelerator(config)
        run = Run(config, out, data, loss, accelerator)
        return run.start(resume, allow_changes)
    finally:
        reset_accelerate()


class Run:
    def __init__(self, config: TrainConfig, out: Path, data: RunData, loss, accelerator: Accelerator):
        self.config, self.out, self.data, self.loss, self.accelerator = config, out, data, loss, accelerator
        self.main = accelerator.is_main_process
        self.done = 0
        self.saved: Path | None = None
        self._saved_step = -1
        # what is trained may be between two steps
        self._stepping = False

    def start(self, resume: bool, allow_changes: bool) -> Path:
        config, accelerator = self.config, self.accelerator
        self.hashes = self.data.hashes | initial_hash(config.model)
        opened = open_run(self.out, config, self.hashes, resume, allow_changes)
        if opened.finished:
            accelerator.print(f"{self.out}: finished already; the model is in {self.out / RESULT}")
            return self.out / RESULT
        self.model, self.tokenizer = initial_model(config.model, config.seed)
        settings = self.model.config
        if config.lora is not None:
            tokens = [self.tokenizer.special(token) for token in settings.template.reward_tokens]
            add_lora(self.model, config.lora, tokens, config.seed)
        choose_trained(self.model, config)
        if config.model.gradient_checkpointing:
            self.model.body.gradient_checkpointing_enable({"use_reentrant": False})
        on_cpu = accelerator.device.type == "cpu"
        keeps_features = config.data.features is not None
        preprocess = Preprocessor(settings, self.tokenizer, patch_later=not on_cpu and not keeps_features)
        dtype = self.model.body.visual.patch_embed.proj.weight.dtype
        self.model.to(accelerator.device)
        packed = PackedRewards(
            self.model,
            partial(packed_patches, config=settings, device=accelerator.device, dtype=dtype),
            self._supervision(),
        )
        # while the whole tower is here: shards of it couldn't be called by one process
        with accelerator.main_process_first():
            self.media = self._open_media(preprocess)
        self.packed, self.optimizer = accelerator.prepare(packed, build_optimizer(packed, config, "model."))
        if opened.state is not None:
            self.done = restore(accelerator, opened.state, self.packed, self.optimizer)
            self.saved = opened.state
        if self.main:
            make_run(self.out, config)
        accelerator.wait_for_everyone()
        self.journal = Journal(self.out, self.done, self.data.num_steps, self.main)
        for warning in (*opened.notes, *self.data.warnings):
            self.journal.say(warning)
        self.journal.say(self._described())
        try:
            with StopRequest() as stop:
                self._steps(stop)
            return self._finish()
        finally:
            self.journal.close()

    def _open_media(self, preprocess: Preprocessor) -> MediaSource:
        if self.config.data.features is None:
            return FileMedia(preprocess)
        media = FeatureMedia(preprocess, self.model, Path(self.config.data.features))
        media.prepare(self.data.references, self.data.videos)
        return media

    def _supervision(self) -> HeadSupervision | None:
        if self.config.supervision is None:
            return None
        torch.manual_seed(torch_seed(self.config.seed, "supervision"))
        return HeadSupervision(self.model.head.weight.shape[1]).to(self.accelerator.device)

    def _described(self) -> str:
        trained = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        total = sum(p.numel() for p in self.model.parameters())
        pools = ", ".join(f"{len(file.pairs)} {pool}" for pool, file in self.data.pools.items())
        return (
            f"{trained / 1e6:.2f} of {total / 1e6:.2f} million parameters are trained; pairs: {pools}; steps "
            f"{self.done} to {self.data.num_steps} of {self.config.batch} pairs on {self.accelerator.num_processes} "
            f"process(es), {self.accelerator.device}, {self.config.precision}"
        )

    def _steps(self, stop: StopRequest) -> None:
        steps = self.data.steps(self.media, self.done, self.accelerator.process_index, self.accelerator.num_processes)
        while self.done < self.data.num_steps:
            pairs: list[Group] = []
            problem = None
            try:
                pairs = next(steps)
            except TrainingError as error:
                problem = error
            self._agree_to_go_on(problem, stop.asked)
            start = monotonic()
            try:
                numbers = self._step(pairs)
            except torch.OutOfMemoryError:
                raise self._too_little_memory(f"step {self.done + 1}") from None
            self._stepping = False
            self.journal.step(self.done, **numbers, seconds=monotonic() - start)
            self.done += 1
            last = self.done == self.data.num_steps
            if self.done % self.config.save_every == 0 or last:
                self._save()
            if self.data.dev and (self.done % self.config.evaluate_every == 0 or last):
                self._measure()

    def _agree_to_go_on(self, problem: TrainingError | None, stop: bool) -> None:
        """All processes stop together, with their state written."""
        flags = torch.tensor([float(problem is not None), float(stop)], device=self.accelerator.device)
        failed, stopped = self.accelerator.reduce(flags, "sum").tolist()
        if failed or stopped:
            self._save()
        if problem is not None:
            raise TrainingError(f"step {self.done + 1}: {problem}. {self._where()}")
        if failed:
            raise TrainingError("another process could not read its pairs")
        if stopped:
            told = f"stopped after step {self.done}; its state is in {self.saved}"
            raise Interrupted(told, self.accelerator.num_processes)

    def _step(self, pairs: list[Group]) -> dict[str, float]:
        config, accelerator, step = self.config, self.accelerator, self.done
        torch.manual_seed(torch_seed(config.seed, "step", step, accelerator.process_index))
        set_rates(self.optimizer, step, self.data.num_steps, config.optimizer)
        self.packed.train()
        size = min(config.micro_batch, len(pairs))
        parts = [pairs[start : start + size] for start in range(0, len(pairs), size)]
        weight = self.data.weight(step)
        # loss of pairs, right ones, decided ones, losses of supervision
        total = torch.zeros(3 + len(LOSSES), device=accelerator.device)
        norm = 0.0
        for part in parts:
            with accelerator.accumulate(self.packed):
                rewards, told = self._forward(part)
                a, b, label = comparisons(part).to(rewards.device)
                difference = rewards[a] - rewards[b]
                loss = self.loss(difference, label).sum()
                decided = label != 0
                right = ((difference * label > 0) & decided).sum()
                total += torch.cat([torch.stack([loss.detach(), right, decided.sum()]), told.detach()])
                if (weights := config.supervision) is not None:
                    loss = weights.preferences * loss
                    loss = loss + sum(getattr(weights, name) * one for name, one in zip(LOSSES, told, strict=True))
                self._require_finite(accelerator.reduce(loss.detach(), "sum").item(), "loss", part)
                # accelerate divides by the number of parts, and averages over processes
                accelerator.backward(loss / weight * accelerator.num_processes * len(parts))
                if accelerator.sync_gradients:
                    norm = float(accelerator.clip_grad_norm_(self.packed.parameters(), config.optimizer.grad_clip) or 0)
                    self._stepping = accelerator.distributed_type == DistributedType.DEEPSPEED
                    self._require_finite(norm, "norm of the gradient", pairs)
                self._stepping = accelerator.sync_gradients
                self.optimizer.step()
                self.optimizer.zero_grad()
        loss_sum, right_sum, decided_sum, *told_sums = accelerator.reduce(total, "sum").tolist()
        names = LOSSES if config.supervision is not None else ()
        return {
            "loss": loss_sum / weight,
            **({"accuracy": right_sum / decided_sum} if decided_sum else {}),
            "decided": decided_sum,
            **{name: value / weight for name, value in zip(names, told_sums, strict=False)},
            "grad_norm": norm,
            "auto_share": float(self.data.sampler.alpha_T[step]),
            **{f"rate_{group['name']}": group["lr"] for group in self.optimizer.param_groups},
        }

    def _forward(self, part: list[Group]) -> tuple[torch.Tensor, torch.Tensor]:
        """Rewards of all videos, and what supervision says of their heads."""
        sequences = [sequence for group in part for sequence in group.sequences]
        if self.config.supervision is None:
            rewards = self.packed(sequences)
            return rewards.sum(-1), rewards.new_zeros(len(LOSSES))
        rewards, told = self.packed(sequences, [heads for group in part for heads in group.heads])
        return rewards.sum(-1), told

    def _require_finite(self, value: float, what: str, pairs: list[Group]) -> None:
        if isfinite(value):
            return
        names = ", ".join(pair.name for pair in pairs)
        # `value` is the same in all processes, so all of them come here
        if all_finite(self.accelerator, self.packed) and not self._stepping:
            self._save()
        # DeepSpeed steps in its backward pass, before its norm is known
        unchanged = "" if self._stepping else "; it changed nothing"
        raise TrainingError(
            f"the {what} of step {self.done + 1} is {value}, with pairs {names}{unchanged}. {self._where()}. Look at "
            "these pairs, or go on with lower rates: --resume --allow-changes --set learning_rates.language=..."
        )

    def _too_little_memory(self, what: str) -> TrainingError:
        # with several processes others may wait in a forward, so that nothing can be written together
        if self.accelerator.num_processes == 1 and not self._stepping:
            self._save()
        return TrainingError(
            f"{self.accelerator.device} has too little memory for {what}; lower micro_batch, or set "
            f"model.gradient_checkpointing, and --resume. {self._where()}"
        )

    def _where(self) -> str:
        return f"The last state is in {self.saved}" if self.saved else "No state was written yet"

    def _measure(self) -> None:
        assert self.data.dev is not None
        self.packed.eval()
        try:
            values = measure_dev(self.accelerator, self.packed, self.media, self.data.dev, self.config)
        except TrainingError as error:
            self._save()
            raise TrainingError(f"measuring on dev after step {self.done}: {error}. {self._where()}") from None
        except torch.OutOfMemoryError:
            raise self._too_little_memory(f"measuring on dev after step {self.done}") from None
        self.journal.record(self.done - 1, dev=values)
        shown = {key: value for key, value in values.items() if isinstance(value, float)}
        self.journal.say(
            f"step {self.done}, dev: " + ", ".join(f"{k.replace('_', ' ')} {v:.4g}" for k, v in shown.items())
        )

    def _save(self) -> None:
        if self._saved_step != self.done:
            self.saved = save_state(self.accelerator, self.out, self.done, self.hashes, self.packed, self.optimizer)
            self._saved_step = self.done

    def _finish(self) -> Path:
        state = gather_state(self.accelerator, self.packed, self.model)
        folder = self.out / RESULT
        if self.main:
            write_result(folder, self.model.config, self.tokenizer, state, self.config.model.saved_dtype)
            with suppress(ImportError):  # matplotlib isn't needed to train
                draw_curves(self.out)
        self.accelerator.wait_for_everyone()
        self.journal.say(f"{self.out}: the model is in {folder}")
        return folder
