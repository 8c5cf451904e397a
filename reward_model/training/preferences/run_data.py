"""Data of a run on preference pairs: both pools, the samples of every step, and the groups that a process loads."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from functools import cached_property, partial
from hashlib import sha256
from itertools import islice
from math import ceil
from pathlib import Path

from reward_model.data.records import resolve
from reward_model.data.seeding import generator

from ..configs.preferences import PreferenceTrainingConfig
from ..data.casts import Pairs, by_cast, good_videos, persons_of
from ..data.media import MediaSource
from ..data.pairs import PairFile, check_labels, read_pair_file, require_held_out, sign
from ..data.prefetch import prefetch
from ..errors import TrainingError
from ..supervision.face_tokens import FaceTokenFinder
from ..supervision.ground_truth import GroundTruth
from .groups import Augmentation, Group, load_group
from .samplers import PairSampler, Pool, SampledUnit, slots_of


class RunData:
    """Reads and checks the files of pairs at once; media are read by `steps`.

    `warnings` are lines for the user. Raises TrainingError or RecordError for pairs that nothing can be learned from.
    """

    def __init__(self, config: PreferenceTrainingConfig, learns_from_ties: bool):
        self.config = config
        files: dict[Pool, str | None] = {"clean": config.data.clean, "auto": config.data.auto}
        self.pools: dict[Pool, PairFile] = {pool: read_pair_file(path) for pool, path in files.items() if path}
        if not self.pools:
            raise TrainingError("no pairs are given: set data.clean or data.auto to a JSONL, or use --data FOLDER")
        self.dev = read_pair_file(config.data.dev) if config.data.dev else None
        for file in self.pools.values():
            if self.dev is not None:
                require_held_out(file, self.dev)
        self._truths = {
            pool: GroundTruth(f.path.parent) for pool, f in self.pools.items() if config.supervision is not None
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
        """sha256 of each pool's file."""
        return {pool: sha256(file.path.read_bytes()).hexdigest() for pool, file in self.pools.items()}

    @property
    def _files(self) -> list[PairFile]:
        return [*self.pools.values(), *([self.dev] if self.dev else [])]

    @property
    def references(self) -> list[Path]:
        """Reference images of all pairs, dev included."""
        return [
            resolve(f.path, reference.path) for f in self._files for pair in f.pairs for reference in pair.references
        ]

    @property
    def videos(self) -> list[tuple[Path, float | None]]:
        """Videos of all pairs, dev included, with the frame rate that a pair states."""
        return [
            (resolve(f.path, name), pair.fps) for f in self._files for pair in f.pairs
            for name in (pair.video_a, pair.video_b)
        ]  # fmt: skip

    def weight(self, step: int) -> int:
        """Number of comparisons with a loss in the whole batch, at least 1: the divisor of the sum of losses."""
        count = 0
        for sample in self.sampler.samples(step):
            count += sum(self._learns_from_ties or sign(pair) != 0 for pair in self._unit(sample))
            count += self._num_foreign(sample)
        return max(1, count)

    def steps(
        self, media: MediaSource, first: int, rank: int, num_processes: int
    ) -> Generator[list[Group], None, None]:
        """Groups of one process for step `first`, first + 1, ..., loaded ahead by threads.

        A TrainingError of a group is raised in its own step.
        """
        slots = slots_of(rank, num_processes, self.config.batch)
        samples = ((self.sampler.samples(step)[slot],) for step in range(first, self.num_steps) for slot in slots)
        data = self.config.data
        sampling = media.preprocess.config.frame_sampling
        finders = {pool: FaceTokenFinder(truth, sampling) for pool, truth in self._truths.items()}
        loaded = prefetch(samples, partial(self._load, media, finders), data.workers, data.prefetch * len(slots))
        with closing(loaded):
            while groups := list(islice(loaded, len(slots))):
                yield groups

    def _unit(self, sample: SampledUnit) -> Pairs:
        return self.units[sample.pool][sample.index]

    def _num_foreign(self, sample: SampledUnit) -> int:
        """Number of videos of this sample that are added beside other people's images; 0 if the pool has no others."""
        count = self.config.data.foreign_references
        return count if count and good_videos(self._unit(sample)) and self._unit_of_others(sample) is not None else 0

    def _unit_of_others(self, sample: SampledUnit) -> Pairs | None:
        """A unit of the same pool that shares no person with this sample; None where there is none."""
        units, persons = self.units[sample.pool], self._persons[sample.pool]
        first = int(generator(sample.seed, "other").integers(len(units)))
        candidates = ((first + offset) % len(units) for offset in range(len(units)))
        return next((units[n] for n in candidates if persons[n].isdisjoint(persons[sample.index])), None)

    def _load(self, media: MediaSource, finders: Mapping[Pool, FaceTokenFinder], sample: SampledUnit) -> Group:
        data, path = self.config.data, self.pools[sample.pool].path
        num_foreign = self._num_foreign(sample)
        unit = self._unit_of_others(sample) if num_foreign else None
        others = (path, unit[0]) if unit else None
        augmentation = Augmentation(sample.seed, data.permute_references, data.mirror, num_foreign, others)
        return load_group(media, path, self._unit(sample), augmentation, finders.get(sample.pool))
