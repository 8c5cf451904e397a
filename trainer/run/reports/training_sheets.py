"""Contact sheets of the groups that a run is trained on, every few steps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from accelerate import PartialState

from trainer.configs.measurement import TrackingConfig
from trainer.types import ScoredGroup

from .contact_sheet import SheetRow, reward_text, write_sheet
from .tracking import Trackers

FOLDER = "contact_sheets"


class TrainingSheets:
    """Writes `contact_sheets/step-00000010.png` in the main process: the first groups that it sampled in that step.

    Captions have the reward of a video, and each component where there are several.
    """

    def __init__(self, out: Path, config: TrackingConfig, trackers: Trackers) -> None:
        self._out, self._config, self._trackers = out, config, trackers
        self._groups: list[ScoredGroup] = []

    def measure(self, group: ScoredGroup) -> Mapping[str, float]:
        """Keeps the group until the step ends; no values."""
        if len(self._groups) < self._config.contact_sheet_groups and PartialState().is_main_process:
            self._groups.append(group)
        return {}

    def check(self, number: int, values: Mapping[str, float]) -> None:
        """Writes the sheet of the step where one is due, and never stops."""
        groups, self._groups = self._groups, []
        step = number + 1
        if groups and self._config.draw_every and step % self._config.draw_every == 0:
            path = self._out / FOLDER / f"step-{step:08d}.png"
            sheet = write_sheet(path, [_row(group) for group in groups])
            self._trackers.log_image(number, "contact_sheet", sheet)


def _row(group: ScoredGroup) -> SheetRow:
    return SheetRow(
        f"{group.prompt.key}: {group.prompt.text}",
        group.prompt.references,
        group.clips,
        [caption(group, g) for g in range(len(group.clips))],
    )


def caption(group: ScoredGroup, g: int) -> str:
    """The reward of a video, and its components where they differ from it; "no reward" where it is missing."""
    reward, text = group.rewards_G[g], reward_text(group.rewards_G[g])
    if len(group.components) > 1:
        values = {name: part[g] for name, part in group.components.items()}
        text = ", ".join([text, *(f"{n} {v:.3f}" for n, v in values.items() if not np.isnan(v) and v != reward)])
    return text
