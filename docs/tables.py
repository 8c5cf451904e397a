"""Writes the tables of pages that follow from code or from evaluations: `python docs/tables.py`.

A test fails if they are old.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from prometheus_client.metrics import MetricWrapperBase
from pydantic.fields import FieldInfo

from identity_reward_client.errors import server_errors
from reward_model.training.evaluation.evaluation import of_mode
from service.operations.metrics import Metrics
from service.settings.groups import PREFIX
from service.settings.settings import Settings

DOCS = Path(__file__).parent
CARDS = ("face_tracks_rendered", "face_tracks_photos", "compact_rendered", "compact_photos")
READINGS = {
    "accuracy_without_ties": "all, without ties",
    "accuracy_with_ties": "all, with ties, by its own band",
    "accuracy_fitted_ties": "all, with ties, by a fitted band",
}


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def settings(limits: bool) -> str:
    rows = [
        (f"`{variable}`", default(name, field), field.description or "")
        for variable, (_, name, field) in Settings.variables().items()
        if name != "status_path" and is_limit(variable) == limits
    ]
    return table(("variable", "default", "what it bounds" if limits else "what it chooses"), rows)


def default(name: str, field: FieldInfo) -> str:
    if name == "decode_threads":
        return "the CPU's cores, 2 to 8"
    if field.default is None or field.default == ():
        return "unset"
    return ",".join(field.default) if isinstance(field.default, tuple) else f"{field.default}"


def is_limit(variable: str) -> bool:
    name = variable.removeprefix(PREFIX).lower()
    return name.startswith(("max_", "client_")) or name.endswith(("_timeout_s", "_max_calls"))


def metrics() -> str:
    registered = Metrics()
    labels = {one._name: one._labelnames for one in vars(registered).values() if isinstance(one, MetricWrapperBase)}
    rows = [
        (f"`{family.name}{'_total' if family.type == 'counter' else ''}`", family.type,
         ", ".join(labels.get(family.name, getattr(family, "_labelnames", ()))), family.documentation)
        for family in registered.registry.collect()
    ]  # fmt: skip
    return table(("metric", "kind", "labels", "what it tells"), sorted(rows))


def errors() -> str:
    rows = [
        (f"`{cls.code}`", str(cls.http_status), cls.grpc_status, "yes" if cls.retryable else "", cls.meaning)
        for cls in server_errors()
    ]
    return table(("code", "HTTP", "gRPC", "retryable", "when"), rows)


def card(evaluation: str) -> str:
    """What `evaluate-reward --json` or the cross-validation told of the first model beside the others."""
    told = json.loads((DOCS / f"evaluations/{evaluation}.json").read_text())
    models = told["models"]
    others = [one for one in told["comparisons"] if one["first"] == models[0]["label"]]
    rows = [_row(title, [model["overall"].get(key) for model in models]) for key, title in READINGS.items()]
    for mode, readings in models[0]["modes"].items():
        title = mode if readings["accuracy_without_ties"] else f"{mode} (ties)"
        rows.append(_row(title, [of_mode(model["modes"][mode]) for model in models]))
    for key, title in READINGS.items():
        gains = [None, *(one["differences"].get(key) for one in others)]
        rows.append(_row(f"ahead by, {title.removeprefix('all, ')}", gains))
    for title, key in (("negative log-likelihood", "nll"), ("calibration error", "calibration_error")):
        rows.append((title, str(models[0]["num_scored"]), *(f"{one[key]:.3f}" for one in models)))
    return table(("pairs", "number", *(f"`{one['label']}`" for one in models)), rows)


def _row(title: str, intervals: list[dict[str, Any] | None]) -> tuple[str, ...]:
    count = max((one["count"] for one in intervals if one), default=0)
    shown = (f"{one['mean']:.3f} [{one['low']:.3f}, {one['high']:.3f}]" if one else "-" for one in intervals)
    return title, str(count), *shown


PAGES: dict[str, dict[str, Callable[[], str]]] = {
    "serving.md": {
        "limits": lambda: settings(True),
        "settings": lambda: settings(False),
        "errors": errors,
        "metrics": metrics,
    },
    "scores.md": {name: partial(card, name) for name in CARDS},
}


def page(name: str, text: str) -> str:
    for part, made in PAGES[name].items():
        start, end = f"<!-- {part}:start -->", f"<!-- {part}:end -->"
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(end)
        if not rest or end not in rest:
            raise ValueError(f"docs/{name} lacks {start} ... {end}")
        text = f"{before}{start}\n{made()}\n{end}{after}"
    return text


if __name__ == "__main__":
    for name in PAGES:
        path = DOCS / name
        path.write_text(page(name, path.read_text()))
