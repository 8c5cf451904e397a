"""Pretraining of a vision tower. The language model of the result is random but for its first queries and keys."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from hashlib import sha256
from math import ceil, isfinite
from pathlib import Path

import numpy as np
import torch
from scipy.stats import mannwhitneyu

from reward_model.data.seeding import generator
from reward_model.qwen.preprocess import Preprocessor

from ..configs.vision_pretraining import VisionPretrainingConfig
from ..data.casts import Pairs, by_cast
from ..data.pairs import read_pair_file, require_held_out
from ..data.prefetch import prefetch
from ..errors import NotFinite, TrainingError
from ..loop.processes import Processes, TrainedModule
from ..loop.result import write_result
from ..loop.run import Measurement, Schedule, run_task
from ..loop.schedule import set_rates
from ..models.initial import initial_hash, initial_model
from ..supervision.ground_truth import FACE_CODE_SIZE, GroundTruth
from .batches import FaceBatch, FaceBatchLoader
from .initialization import attend_to_neighbours, whiten_patches
from .losses import FaceReadout
from .optimizer import build_optimizers

# losses with a weight in the configuration, by the name of its field
WEIGHTED = ("shape", "corruption", "matching", "attention")


def pretrain_vision(
    config: VisionPretrainingConfig, out: Path, resume: bool = False, allow_changes: bool = False
) -> Path:
    """Trains, and returns the folder of the model. Raises the errors of `loop.run.run_task`."""
    return run_task(VisionPretrainingTask(config), out, resume, allow_changes)


class VisionPretrainingTask:
    """The `Task` of `kind: vision-pretraining`."""

    resume_note = "nothing was trained yet"
    memory_advice = "lower `batch`"

    def __init__(self, config: VisionPretrainingConfig):
        if config.data.clean is None:
            raise TrainingError("no pairs are given: set data.clean to a JSONL, or use --data FOLDER")
        self.config = config
        self.processes = Processes()
        self.trained: TrainedModule | None = None
        self._clean = read_pair_file(config.data.clean)
        self._casts = by_cast(self._clean.pairs)
        # casts of a step
        self._batch = min(config.batch, len(self._casts))
        self._steps_per_epoch = len(self._casts) // self._batch
        num_steps = ceil(config.epochs * self._steps_per_epoch)
        self.schedule = Schedule(num_steps, config.save_every, config.evaluate_every)
        self.hashes = {"clean": sha256(self._clean.path.read_bytes()).hexdigest(), **initial_hash(config.model)}

    def build(self) -> None:
        config = self.config
        self._model, self._tokenizer = initial_model(config.model, config.seed)
        preprocess = Preprocessor(self._model.config, self._tokenizer)
        self._load = self._loader(self._clean.path, preprocess, config.data.corrupted_share)
        self._dev = self._dev_batches(preprocess)

    def prepare(self, fresh: bool) -> list[str]:
        torch.manual_seed(self.config.seed)
        device = self.processes.device
        self._model.to(device)
        self._readout = FaceReadout(self._model, FACE_CODE_SIZE).to(device).requires_grad_(True).train()
        self._optimizers = build_optimizers(self._readout, self.config)
        self.trained = TrainedModule(self._readout, tuple(self._optimizers))
        lines = [f"{len(self._casts)} casts; batches of {self._batch} casts on {device}"]
        if fresh and self.config.model.init == "scratch":
            tasks = [self._inputs(step) for step in range(min(self.config.whitening, self.schedule.num_steps))]
            whiten_patches(self._readout.tower, (self._load(*task).patches.to(device) for task in tasks))
            attend_to_neighbours(self._readout.tower)
            lines.append(f"patches are whitened by the first {len(tasks)} batches")
        return lines

    def _loader(self, jsonl: Path, preprocess: Preprocessor, corrupted_share: float) -> FaceBatchLoader:
        data, truth = self.config.data, GroundTruth(jsonl.parent)
        return FaceBatchLoader(jsonl, truth, preprocess, data.clips_per_cast, data.window, corrupted_share)

    def _dev_batches(self, preprocess: Preprocessor) -> list[FaceBatch]:
        """The same slices in every measurement."""
        if self.config.data.dev is None:
            return []
        dev = read_pair_file(self.config.data.dev)
        require_held_out(self._clean, dev)
        casts = by_cast(dev.pairs)[: self.config.evaluate_casts]
        load = self._loader(dev.path, preprocess, 0.0)
        size = min(self.config.batch, len(casts))
        parts = [casts[at : at + size] for at in range(0, len(casts) - size + 1, size)]
        return [load(part, generator(0, "dev", number)) for number, part in enumerate(parts)]

    def _inputs(self, step: int) -> tuple[list[Pairs], np.random.Generator]:
        """Arguments of the loader for a step."""
        epoch, position = divmod(step, self._steps_per_epoch)
        order = generator(self.config.seed, "epoch", epoch).permutation(len(self._casts))
        casts = [self._casts[n] for n in order[position * self._batch : (position + 1) * self._batch]]
        return casts, generator(self.config.seed, "step", step)

    def batches(self, first: int) -> Generator[tuple[int, FaceBatch], None, None]:
        tasks = (self._inputs(step) for step in range(first, self.schedule.num_steps))
        with closing(prefetch(tasks, self._load, self.config.data.workers, self.config.data.prefetch)) as loaded:
            yield from enumerate(loaded, first)

    def step(self, number: int, batch: FaceBatch) -> dict[str, float]:
        config, device, trained = self.config, self.processes.device, self.trained
        assert trained is not None
        for optimizer in self._optimizers:
            set_rates(optimizer, number, self.schedule.num_steps, config.optimizer)
        self._readout.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            parts = self._readout.losses(batch.to(device))
        loss = parts["look"] + sum(getattr(config, name) * parts[name] for name in WEIGHTED)
        loss.backward()
        norm = float(torch.nn.utils.clip_grad_norm_(self._readout.parameters(), config.optimizer.grad_clip))
        for quantity, value in (("loss", loss.item()), ("norm of the gradient", norm)):
            if not isfinite(value):
                casts = ", ".join(cast[0].cluster for cast in self._inputs(number)[0])
                raise NotFinite(quantity, value, f"with casts {casts}", "Lower `rate`")
        trained.updating = True
        for optimizer in self._optimizers:
            optimizer.step()
        return {"loss": loss.item(), **{name: part.item() for name, part in parts.items()}, "grad_norm": norm}

    @torch.no_grad()
    def measure(self) -> Measurement | None:
        """`matched`: share of faces whose most similar reference is their own. `same_or_other_auc`: area under the ROC
        of same person against another one, by similarity. `attention`: loss of the first layer's attention."""
        if not self._dev:
            return None
        same, other, right, attention = [], [], [], []
        for batch in self._dev:
            features = self._readout(batch.to(self.processes.device))
            similarity_FR = self._readout.similarities(features.faces_FD, features.references_RD).cpu()
            matched = batch.match >= 0
            positive_FR = torch.zeros_like(similarity_FR, dtype=torch.bool)
            positive_FR[matched, batch.match[matched]] = True
            same.append(similarity_FR[positive_FR])
            other.append(similarity_FR[~positive_FR])
            right.append(similarity_FR[matched].argmax(1) == batch.match[matched])
            if batch.views:
                attention.append(self._readout.attention(features, batch).item())
        same_N, other_N = torch.cat(same).double().numpy(), torch.cat(other).double().numpy()
        if not len(same_N) or not len(other_N):
            return Measurement({}, summary="no face in its slices is a reference's; nothing is measured")
        values = {
            "matched": torch.cat(right).double().mean().item(),
            "same_or_other_auc": float(mannwhitneyu(same_N, other_N).statistic / (len(same_N) * len(other_N))),
            "attention": float(np.mean(attention)),
        }
        summary = (
            f"matched {values['matched']:.3f}, AUC of same or other person {values['same_or_other_auc']:.4f}, loss of "
            f"attention {values['attention']:.3f}"
        )
        return Measurement(values, summary=summary)

    def save_model(self, folder: Path) -> None:
        state = self._model.state_dict()
        write_result(folder, self._model.config, self._tokenizer, state, self.config.model.saved_dtype)
