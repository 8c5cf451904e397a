"""The rule that ends a run whose policy exploits the trained reward."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


class EarlyStop:
    """Stops when a watched reward falls while the trained reward rises.

    Both are averaged over the last `window` updates. The run stops when the watched average is `fall` below its highest
    so far, and the trained average is above what it was then. An update without one of the rewards is left out.

    Args:
        fall: in units of the watched reward.
        window: updates of one average.
        history: (trained, watched) mean rewards of earlier updates, of a run that is resumed.
    """

    def __init__(self, fall: float, window: int, history: Iterable[tuple[float, float]] = ()) -> None:
        if not fall > 0 or window < 1:
            raise ValueError(f"fall is above 0 and window 1 or more, got {fall} and {window}")
        self.fall, self.window = fall, window
        self._recent: list[tuple[float, float]] = []
        # (trained, watched) averages where the watched one was highest
        self._best: tuple[float, float] | None = None
        for trained, watched in history:
            self.observe(trained, watched)

    def observe(self, trained: float, watched: float) -> str | None:
        """Adds the mean rewards of an update. Returns the reason to stop, if there is one."""
        if not np.isfinite([trained, watched]).all():
            return None
        self._recent = [*self._recent, (trained, watched)][-self.window :]
        if len(self._recent) < self.window:
            return None
        now_trained, now_watched = (float(mean) for mean in np.mean(self._recent, axis=0))
        if self._best is None or now_watched > self._best[1]:
            self._best = now_trained, now_watched
        trained_then, watched_then = self._best
        if watched_then - now_watched < self.fall or now_trained <= trained_then:
            return None
        return (
            f"the watched reward fell from {watched_then:.4g} to {now_watched:.4g} while the trained one rose from "
            f"{trained_then:.4g} to {now_trained:.4g} (means of {self.window} updates): the policy exploits the reward"
        )
