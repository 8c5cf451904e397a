"""The pairs of a run: both pools, the draws of every step, and what one process has to compute of them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, partial
from hashlib import sha256
from itertools import islice
from math import ceil

from ..preprocess import Preprocessor
from .config import TrainConfig
from .dataset import LoadedPair, PairFile, check_labels, load_pair, read_ahead, read_pair_file, sign
from .errors import TrainingError
from .samplers import Draw, PairSampler, Pool, slots_of


class RunData:
    """Reads the files of pairs and checks them; nothing is decoded before `steps` is asked for."""

    def __init__(self, config: TrainConfig, learns_from_ties: bool):
        self.config = config
        given: dict[Pool, str | None] = {"clean": config.data.clean, "auto": config.data.auto}
        self.pools: dict[Pool, PairFile] = {pool: read_pair_file(path) for pool, path in given.items() if path}
        if not self.pools:
            raise TrainingError("no pairs are given: set data.clean or data.auto to a JSONL, or use --data FOLDER")
        self.dev = read_pair_file(config.data.dev) if config.data.dev else None
        self.warnings = check_labels([*self.pools.values()], learns_from_ties)
        self._learns_from_ties = learns_from_ties
        sizes = {pool: len(file.pairs) for pool, file in self.pools.items()}
        if config.steps is not None:
            self.num_steps = config.steps
        else:
            assert config.epochs is not None
            self.num_steps = ceil(config.epochs * sum(sizes.values()) / config.batch)
        self.sampler = PairSampler(
            sizes.get("clean", 0), sizes.get("auto", 0), config.batch, self.num_steps, config.data.sampler, config.seed
        )

    @cached_property
    def hashes(self) -> dict[str, str]:
        """sha256 of each pool's file: what a resumed run must find again."""
        return {pool: sha256(file.path.read_bytes()).hexdigest() for pool, file in self.pools.items()}

    def weight(self, step: int) -> int:
        """How many pairs of the whole batch have a loss: what their sum is divided by, at least 1."""
        if self._learns_from_ties:
            return self.config.batch
        return max(1, sum(sign(self._pair(draw)) != 0 for draw in self.sampler.draws(step)))

    def steps(self, preprocess: Preprocessor, first: int, rank: int, num_processes: int) -> Iterator[list[LoadedPair]]:
        """This process's pairs of step `first`, first + 1, ..., read ahead by threads."""
        slots = slots_of(rank, num_processes, self.config.batch)
        tasks = (
            (self.sampler.draws(step)[slot],) for step in range(first, self.num_steps) for slot in slots
        )  # an error of one pair is raised in its own step
        data = self.config.data
        loaded = read_ahead(tasks, partial(self._load, preprocess), data.workers, data.prefetch * len(slots))
        while pairs := list(islice(loaded, len(slots))):
            yield pairs

    def _pair(self, draw: Draw):
        return self.pools[draw.pool].pairs[draw.index]

    def _load(self, preprocess: Preprocessor, draw: Draw) -> LoadedPair:
        order = draw.order if self.config.data.permute_references else None
        return load_pair(preprocess, self.pools[draw.pool].path, self._pair(draw), draw.swap, order)
