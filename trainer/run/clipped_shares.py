"""Warnings about a clip range that clips nothing or everything."""

from __future__ import annotations

WINDOW = 10


class ClippedShares:
    """Watches the share of clipped ratios; warns once when it was 0 or 1 in `WINDOW` updates in a row."""

    def __init__(self) -> None:
        self._share = float("nan")
        self._count = 0

    def observe(self, share: float) -> str | None:
        """Adds the share of an update, in [0, 1]. Returns the warning, if there is one."""
        extreme = share in (0.0, 1.0)
        self._count = self._count + 1 if extreme and share == self._share else int(extreme)
        self._share = share
        if self._count != WINDOW:
            return None
        if share == 0:
            return (
                f"no ratio was clipped in {WINDOW} updates: the clip range does nothing. Narrow it, or expect this "
                "where each rollout has one optimizer step, whose ratios are all 1"
            )
        return (
            f"every ratio was clipped in {WINDOW} updates: nothing is learned. Widen the clip range or lower the rate"
        )
