"""Warnings about a clip range that clips nothing or everything."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from ..types import ScoredGroup

log = logging.getLogger("identity_reward.trainer")
WINDOW = 10
# in the journal: the share of clipped ratios
CLIPPED = "clipped"


class ClippedShares:
    """Watches the share of clipped ratios; warns once when it was 0 or 1 in `WINDOW` steps in a row."""

    def __init__(self) -> None:
        self._share = float("nan")
        self._count = 0

    def measure(self, group: ScoredGroup) -> Mapping[str, float]:
        """Nothing: the journal has the share."""
        return {}

    def check(self, number: int, values: Mapping[str, float]) -> None:
        """Warns, and never stops. Steps without the share, as of DiffusionNFT, are left out."""
        share = values.get(CLIPPED)
        if share is None:
            return
        extreme = share in (0.0, 1.0)
        self._count = self._count + 1 if extreme and share == self._share else int(extreme)
        self._share = share
        if self._count != WINDOW:
            return
        if share == 0:
            log.warning("no ratio was clipped in %d steps: the clip range does nothing", WINDOW)
        else:
            log.warning("every ratio was clipped in %d steps, so that nothing is learned: widen the clip range", WINDOW)
