"""The run of the first stage: draws, steps, measurements, and a model folder whose language model is still random, but
for the queries and keys of its first layer."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from math import ceil, isfinite
from pathlib import Path
from time import monotonic

import numpy as np
import torch

from reward_model.data.seeding import generator
from reward_model.qwen.preprocess import Preprocessor

from ..errors import Interrupted, TrainingError
from ..loop import state
from ..loop.distributed import require_one_process
from ..loop.interruption import StopRequest
from ..loop.journal import Journal, draw_curves
from ..loop.optimizer import set_rates
from ..loop.result import RESULT, write_result
from ..loop.run_folder import make_run, open_run
from ..preferences.dataset import PairFile, read_ahead, read_pair_file, require_held_out
from ..preferences.groups import Pairs, by_cast
from ..preferences.initial import initial_hash, initial_model
from .batches import HeadBatch, HeadLoader
from .config import HeadsConfig
from .ground_truth import HEAD_CODE_SIZE, HeadTruth
from .initialization import look_at_neighbours, whiten_patches
from .losses import HeadReader
from .optimizer import build_optimizers

# parts of the loss that have a weight in the config, by its name
WEIGHTED = ("shape", "harm", "matching", "attention")


def train_heads(config: HeadsConfig, out: Path, resume: bool = False, allow_changes: bool = False) -> Path:
    """The folder of the model. Errors and interruption as in `trainer.train`."""
    if config.data.clean is None:
        raise TrainingError("no pairs are given: set data.clean to a JSONL, or use --data FOLDER")
    return HeadsRun(config, out).start(resume, allow_changes)


class HeadsRun:
    def __init__(self, config: HeadsConfig, out: Path):
        self.config, self.out, self.done = config, out, 0
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    def start(self, resume: bool, allow_changes: bool) -> Path:
        config = self.config
        clean = read_pair_file(str(config.data.clean))
        self.casts = by_cast(clean.pairs)
        batch = min(config.batch, len(self.casts))
        self.steps_per_epoch = len(self.casts) // batch
        self.num_steps = ceil(config.epochs * self.steps_per_epoch)
        hashes = {"clean": sha256(clean.path.read_bytes()).hexdigest(), **initial_hash(config.model)}
        opened = open_run(self.out, config, hashes, resume, allow_changes)
        if opened.finished:
            print(f"{self.out}: finished already; the model is in {self.out / RESULT}", file=sys.stderr)
            return self.out / RESULT
        require_one_process(config.kind)
        self.model, tokenizer = initial_model(config.model, config.seed)
        preprocess = Preprocessor(self.model.config, tokenizer)
        self.load = self._loader(clean.path, preprocess, config.data.harmed)
        self.dev = self._dev_batches(clean, preprocess)
        make_run(self.out, config)
        torch.manual_seed(config.seed)
        self.model.to(self.device)
        self.reader = HeadReader(self.model, HEAD_CODE_SIZE).to(self.device).requires_grad_(True).train()
        self.optimizers = build_optimizers(self.reader, config)
        if opened.state is not None:
            state.read_tensors(opened.state, self.reader, *self.optimizers)
            self.done = state.read_progress(opened.state).step
        self.journal = Journal(self.out, self.done, self.num_steps)
        for note in opened.notes:
            self.journal.say(note)
        self.journal.say(f"{len(self.casts)} casts; steps {self.done} to {self.num_steps} of {batch} casts")
        try:
            with StopRequest() as stop:
                if opened.state is None and config.model.init == "scratch":
                    self._begin(batch)
                self._steps(batch, stop, hashes)
            write_result(
                self.out / RESULT, self.model.config, tokenizer, self.model.state_dict(), config.model.saved_dtype
            )
            with suppress(ImportError):  # matplotlib isn't needed to train
                draw_curves(self.out)
            self.journal.say(f"{self.out}: the model is in {self.out / RESULT}")
        finally:
            self.journal.close()
        return self.out / RESULT

    def _loader(self, jsonl: Path, preprocess: Preprocessor, harmed: float) -> HeadLoader:
        data, truth = self.config.data, HeadTruth(jsonl.parent)
        return HeadLoader(jsonl, truth, preprocess, data.clips_per_cast, data.window, harmed)

    def _begin(self, batch: int) -> None:
        tasks = [self._draw(batch, step) for step in range(min(self.config.whitening, self.num_steps))]
        self.journal.say(f"whitening patches by the first {len(tasks)} batches")
        whiten_patches(self.reader.tower, (self.load(*task).patches.to(self.device) for task in tasks))
        look_at_neighbours(self.reader.tower)

    def _dev_batches(self, clean: PairFile, preprocess: Preprocessor) -> list[HeadBatch]:
        """The same slices each time."""
        if self.config.data.dev is None:
            return []
        dev = read_pair_file(self.config.data.dev)
        require_held_out(clean, dev)
        casts = by_cast(dev.pairs)[: self.config.evaluate_casts]
        load = self._loader(dev.path, preprocess, 0.0)
        size = min(self.config.batch, len(casts))
        parts = [casts[at : at + size] for at in range(0, len(casts) - size + 1, size)]
        return [load(part, generator(0, "dev", number)) for number, part in enumerate(parts)]

    def _draw(self, batch: int, step: int) -> tuple[list[Pairs], np.random.Generator]:
        epoch, place = divmod(step, self.steps_per_epoch)
        order = generator(self.config.seed, "epoch", epoch).permutation(len(self.casts))
        chosen = [self.casts[n] for n in order[place * batch : (place + 1) * batch]]
        return chosen, generator(self.config.seed, "step", step)

    def _batches(self, batch: int) -> Iterator[HeadBatch]:
        tasks = (self._draw(batch, step) for step in range(self.done, self.num_steps))
        return read_ahead(tasks, self.load, self.config.data.workers, self.config.data.prefetch)

    def _steps(self, batch: int, stop: StopRequest, hashes: dict[str, str]) -> None:
        batches = self._batches(batch)
        while self.done < self.num_steps:
            try:
                drawn = next(batches)
            except TrainingError as error:
                raise self._stopped(str(error), hashes) from None
            if stop.asked:
                raise Interrupted(f"stopped after step {self.done}; its state is in {self._save(hashes)}")
            start = monotonic()
            try:
                numbers = self._step(drawn)
            except TrainingError as error:
                raise self._stopped(str(error), hashes) from None
            self.journal.step(self.done, **numbers, seconds=monotonic() - start)
            self.done += 1
            last = self.done == self.num_steps
            if self.done % self.config.save_every == 0 or last:
                self._save(hashes)
            if self.dev and (self.done % self.config.evaluate_every == 0 or last):
                self._measure()

    def _stopped(self, why: str, hashes: dict[str, str]) -> TrainingError:
        """With the state of the steps before, where it is a sound one."""
        sound = all(bool(torch.isfinite(parameter).all()) for parameter in self.reader.parameters())
        if sound:
            where = f"The state before it is in {self._save(hashes)}"
        else:
            found = state.folders(self.out)
            where = f"The last state is in {found[-1]}" if found else "No state was written yet"
        return TrainingError(f"step {self.done + 1}: {why}. {where}")

    def _step(self, batch: HeadBatch) -> dict[str, float]:
        config = self.config
        for optimizer in self.optimizers:
            set_rates(optimizer, self.done, self.num_steps, config.optimizer)
        self.reader.zero_grad()
        try:
            with torch.autocast(self.device.type, torch.bfloat16, enabled=config.precision == "bf16"):
                parts = self.reader.losses(batch.to(self.device))
            loss = parts["look"] + sum(getattr(config, name) * parts[name] for name in WEIGHTED)
            loss.backward()
        except torch.OutOfMemoryError:
            raise TrainingError(f"{self.device} has too little memory; lower `batch`") from None
        norm = float(torch.nn.utils.clip_grad_norm_(self.reader.parameters(), config.optimizer.grad_clip))
        if not isfinite(norm) or not isfinite(loss.item()):
            raise TrainingError(f"loss {loss.item()}, norm of the gradient {norm}; lower `rate`")
        for optimizer in self.optimizers:
            optimizer.step()
        return {"loss": loss.item(), **{name: part.item() for name, part in parts.items()}, "grad_norm": norm}

    @torch.no_grad()
    def _measure(self) -> None:
        """How often a head in a slice is nearest to its own reference, the area under the ROC of same against other
        person, by cosine, and the loss of attention."""
        same, other, right, attention = [], [], [], []
        for batch in self.dev:
            seen = self.reader(batch.to(self.device))
            similar, match = self.reader.similarities(seen.heads, seen.references).cpu(), batch.match
            known = match >= 0
            mine = torch.zeros_like(similar, dtype=torch.bool)
            mine[known, match[known]] = True
            same.append(similar[mine])
            other.append(similar[~mine])
            right.append(similar[known].argmax(1) == match[known])
            if batch.views:
                attention.append(self.reader.attention(seen, batch).item())
        ordered, equal, hits = torch.cat(other).sort().values, torch.cat(same), torch.cat(right)
        if not len(ordered) or not len(equal):
            self.journal.say(f"step {self.done}, dev: no head in its slices is a reference's; nothing is measured")
            return
        area = torch.searchsorted(ordered, equal).double().mean() / len(ordered)
        values = {
            "matched": hits.double().mean().item(),
            "same_or_other_auc": area.item(),
            "attention": float(np.mean(attention)),
        }
        self.journal.record(self.done - 1, dev=values)
        self.journal.say(
            f"step {self.done}, dev: matched {values['matched']:.3f}, AUC of same or other person {area:.4f}, loss of "
            f"attention {values['attention']:.3f}"
        )

    def _save(self, hashes: dict[str, str]) -> Path:
        partial = state.begin(self.out, self.done)
        state.write_tensors(partial, self.reader, *self.optimizers)
        return state.finish(partial, state.Progress(self.done, hashes))
