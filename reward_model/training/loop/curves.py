"""The plot of a run: losses of its steps and measurements on dev."""

from __future__ import annotations

from pathlib import Path

from .journal import read_metrics

# measurements in [0, 1] that are drawn: of rewards, and of faces
MEASURED = ("accuracy_without_ties", "accuracy_with_ties", "matched", "same_or_other_auc")


def draw_curves(folder: Path) -> Path:
    """Writes `curves.png` from `metrics.jsonl`: the loss of every step with its running mean, and values on dev.

    A training of several members, one after another, has a line for each. Raises ImportError without matplotlib.
    """
    import numpy as np
    from matplotlib.figure import Figure

    lines = read_metrics(folder)
    member_of = {line["step"]: line.get("member", 0) for line in lines if "dev" in line}
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    losses, measurements = figure.subplots(1, 2)
    for member in sorted({*member_of.values()} or {0}):
        of_member = [line for line in lines if member_of.get(line["step"], member) == member]
        first = member == min(member_of.values(), default=0)
        steps = [line for line in of_member if "loss" in line]
        x, y = np.array([line["step"] for line in steps]), np.array([line["loss"] for line in steps])
        if steps:  # GRPO's steps without an update have no loss
            losses.plot(x, y, color="0.8", linewidth=0.8, label="batch" if first else None)
            window = max(1, len(y) // 20)
            means = np.convolve(y, np.ones(window) / window, "valid")
            losses.plot(x[window - 1 :], means, color="C0", label=f"mean of {window} steps" if first else None)
        for number, key in enumerate(MEASURED):
            # a value is None where dev had no pair for it
            values = [
                (line["step"], line["dev"][key]) for line in of_member if line.get("dev", {}).get(key) is not None
            ]
            if values:
                label = f"dev {key.replace('_', ' ')}" if first else None
                measurements.plot(*zip(*values, strict=True), marker=".", color=f"C{number}", label=label)
    losses.set(xlabel="step", ylabel="loss")
    measurements.set(xlabel="step", ylim=(0, 1))
    for axis in (losses, measurements):
        if axis.lines:
            axis.legend(fontsize=8)
        axis.grid(alpha=0.2)
    figure.savefig(folder / "curves.png", dpi=130)
    return folder / "curves.png"
