"""The rows of the benchmark: what varies between runs."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.config import read_grpo_config

GROUP_SIZE = read_grpo_config("people").group_size


@dataclass(frozen=True)
class Setting:
    """A row: the same run with several seeds. `budget` says in which of the two tables it stands."""

    groups: int
    initial_noise: str
    # rollouts; each is trained on in as many passes as the configuration has
    steps: int
    budget: str
    # reward of the paper's VACE-1.3B in table 4 (arXiv 2510.14256), for this number of groups and kind of noise
    paper: float

    @property
    def name(self) -> str:
        return f"{self.groups} groups, {self.initial_noise} noise, {self.steps} rollouts"

    @property
    def videos(self) -> int:
        return self.steps * self.groups * GROUP_SIZE

    @property
    def slug(self) -> str:
        """Name of the folder of its runs."""
        return f"{self.groups}-{self.initial_noise}-{self.steps}"


PAPER = {(4, "same"): 2.588, (4, "different"): 2.749, (16, "same"): 2.718, (16, "different"): 3.099}


def settings(steps: int) -> tuple[Setting, ...]:
    """Rows of table 4 with 4 groups for `steps` rollouts, with 16 groups for as many videos, and as many rollouts."""
    rows = [Setting(4, noise, steps, "videos and rollouts", PAPER[4, noise]) for noise in ("different", "same")]
    for budget, steps_of_16 in (("videos", steps // 4), ("rollouts", steps)):
        rows += [Setting(16, noise, steps_of_16, budget, PAPER[16, noise]) for noise in ("different", "same")]
    return tuple(rows)
