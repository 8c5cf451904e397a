"""The pairs of a run: both pools, the draws of every step, and what one process has to compute of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from hashlib import sha256
from itertools import islice
from math import ceil
from pathlib import Path

from reward_model.data.records import resolve
from reward_model.data.seeding import generator

from ..config import TrainConfig
from ..errors import TrainingError
from ..vision_pretraining.face_tokens import HeadFinder
from ..vision_pretraining.ground_truth import HeadTruth
from .dataset import PairFile, check_labels, read_ahead, read_pair_file, require_held_out, sign
from .groups import Augmentation, Group, Pairs, by_cast, good_videos, load_group, persons_of
from .media import MediaSource
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
        for file in self.pools.values():
            if self.dev is not None:
                require_held_out(file, self.dev)
        self._truths = {
            pool: HeadTruth(f.path.parent) for pool, f in self.pools.items() if config.supervision is not None
        }
        self.warnings = check_labels([*self.pools.values()], learns_from_ties)
        self._learns_from_ties = learns_from_ties
        self.units: dict[Pool, list[Pairs]] = {
            pool: by_cast(file.pairs) if config.data.groups else [(pair,) for pair in file.pairs]
            for pool, file in self.pools.items()
        }
        self._persons = {pool: [persons_of(unit) for unit in units] for pool, units in self.units.items()}
        sizes = {pool: len(units) for pool, units in self.units.items()}
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

    @property
    def _files(self) -> list[PairFile]:
        return [*self.pools.values(), *([self.dev] if self.dev else [])]

    @property
    def references(self) -> list[Path]:
        """Of all pairs, those of dev included."""
        return [resolve(f.path, one.path) for f in self._files for pair in f.pairs for one in pair.references]

    @property
    def videos(self) -> list[tuple[Path, float | None]]:
        """Of all pairs, those of dev included, with the rate that a pair states."""
        return [
            (resolve(f.path, name), pair.fps) for f in self._files for pair in f.pairs
            for name in (pair.video_a, pair.video_b)
        ]  # fmt: skip

    def weight(self, step: int) -> int:
        """How many comparisons of the whole batch have a loss: what their sum is divided by, at least 1."""
        counted = 0
        for draw in self.sampler.draws(step):
            counted += sum(self._learns_from_ties or sign(pair) != 0 for pair in self._unit(draw))
            counted += self._foreign(draw)
        return max(1, counted)

    def steps(self, media: MediaSource, first: int, rank: int, num_processes: int) -> Iterator[list[Group]]:
        """This process's groups of step `first`, first + 1, ..., read ahead by threads."""
        slots = slots_of(rank, num_processes, self.config.batch)
        tasks = (
            (self.sampler.draws(step)[slot],) for step in range(first, self.num_steps) for slot in slots
        )  # an error of one group is raised in its own step
        data = self.config.data
        sampling = media.preprocess.config.frame_sampling
        finders = {pool: HeadFinder(truth, sampling) for pool, truth in self._truths.items()}
        loaded = read_ahead(tasks, partial(self._load, media, finders), data.workers, data.prefetch * len(slots))
        while groups := list(islice(loaded, len(slots))):
            yield groups

    def _unit(self, draw: Draw) -> Pairs:
        return self.units[draw.pool][draw.index]

    def _foreign(self, draw: Draw) -> int:
        """How many videos of this draw are shown beside strangers: none where nobody else is there."""
        asked = self.config.data.foreign_references
        return asked if asked and good_videos(self._unit(draw)) and self._other(draw) is not None else 0

    def _other(self, draw: Draw) -> Pairs | None:
        """A unit of the pool with none of this one's persons."""
        units, persons = self.units[draw.pool], self._persons[draw.pool]
        first = int(generator(draw.seed, "other").integers(len(units)))
        places = ((first + step) % len(units) for step in range(len(units)))
        return next((units[n] for n in places if persons[n].isdisjoint(persons[draw.index])), None)

    def _load(self, media: MediaSource, finders: Mapping[Pool, HeadFinder], draw: Draw) -> Group:
        data, path = self.config.data, self.pools[draw.pool].path
        foreign = self._foreign(draw)
        other = self._other(draw) if foreign else None
        others = (path, other[0]) if other else None
        augmentation = Augmentation(draw.seed, data.permute_references, data.mirror, foreign, others)
        return load_group(media, path, self._unit(draw), augmentation, finders.get(draw.pool))
