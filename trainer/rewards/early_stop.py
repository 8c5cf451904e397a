"""The rule that ends a run whose policy exploits the trained reward."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ..types import ScoredGroup

# in the journal: the mean of the trained reward, and that of each source
TRAINED, COMPONENT = "reward", "reward_{}"


class EarlyStop:
    """Stops when a watched reward falls while the trained reward rises.

    Both are averaged over the last `window` updates. The run stops when the watched average is `fall` below its highest
    so far, and the trained average is above what it was then. An update without one of the rewards is left out.

    Args:
        watched: name of the reward source that is watched.
        fall: in units of the watched reward.
        window: updates of one average.
        history: values of earlier steps, of a run that is resumed.
    """

    def __init__(self, watched: str, fall: float, window: int, history: Iterable[Mapping[str, float]] = ()) -> None:
        if not fall > 0 or window < 1:
            raise ValueError(f"fall is above 0 and window 1 or more, got {fall} and {window}")
        self.watched, self.fall, self.window = watched, fall, window
        self._recent: list[tuple[float, float]] = []
        # (trained, watched) averages where the watched one was highest
        self._best: tuple[float, float] | None = None
        for values in history:
            self.check(0, values)

    def measure(self, group: ScoredGroup) -> Mapping[str, float]:
        """Nothing: the journal has the mean of every reward."""
        return {}

    def check(self, number: int, values: Mapping[str, float]) -> str | None:
        """Adds the mean rewards of a step. Returns the reason to stop, if there is one."""
        rewards = values.get(TRAINED, np.nan), values.get(COMPONENT.format(self.watched), np.nan)
        if not np.isfinite(rewards).all():
            return None
        self._recent = [*self._recent, rewards][-self.window :]
        if len(self._recent) < self.window:
            return None
        now_trained, now_watched = (float(mean) for mean in np.mean(self._recent, axis=0))
        if self._best is None or now_watched > self._best[1]:
            self._best = now_trained, now_watched
        trained_then, watched_then = self._best
        if watched_then - now_watched < self.fall or now_trained <= trained_then:
            return None
        return (
            f"the policy exploits the reward: in means of {self.window} steps, {self.watched} fell from "
            f"{watched_then:.4g} to {now_watched:.4g} while the trained reward rose from {trained_then:.4g} to "
            f"{now_trained:.4g}"
        )
