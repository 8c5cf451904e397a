"""Writes the tables of docs/serving.md that follow from code: `python docs/tables.py`. A test fails if they are old."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from identity_reward_client.errors import answered, summary
from service.metrics import Metrics
from service.settings import PREFIX, Settings

PAGE = Path(__file__).parent / "serving.md"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def settings(limits: bool) -> str:
    def default(name: str) -> str:
        if name == "decode_threads":
            return "the CPU's cores, 2 to 8"
        value = Settings.model_fields[name].default
        if value is None or value == ():
            return "unset"
        return ",".join(value) if isinstance(value, tuple) else f"{value}"

    rows = [
        (f"`{PREFIX}{name.upper()}`", default(name), field.description or "")
        for name, field in Settings.model_fields.items()
        if name != "status_path" and is_limit(name) == limits
    ]
    return table(("variable", "default", "what it bounds" if limits else "what it chooses"), rows)


def is_limit(name: str) -> bool:
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
        (f"`{cls.code}`", str(cls.http_status), cls.grpc_status, "yes" if cls.retryable else "", summary(cls))
        for cls in answered()
    ]
    return table(("code", "HTTP", "gRPC", "retryable", "when"), rows)


def page(text: str) -> str:
    tables = {"limits": settings(True), "settings": settings(False), "errors": errors(), "metrics": metrics()}
    for name, made in tables.items():
        start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(end)
        if not rest or end not in rest:
            raise ValueError(f"docs/serving.md lacks {start} ... {end}")
        text = f"{before}{start}\n{made}\n{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
