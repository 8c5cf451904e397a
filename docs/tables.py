"""Writes the tables of docs/serving.md that follow from code: `python docs/tables.py`. A test fails if they are old."""

from __future__ import annotations

from pathlib import Path

from identity_reward_client.errors import answered, summary
from service.settings import PREFIX, Settings

PAGE = Path(__file__).parent / "serving.md"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def settings() -> str:
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
        if name != "status_path"
    ]
    return table(("variable", "default", "what it bounds or chooses"), rows)


def errors() -> str:
    rows = [
        (f"`{cls.code}`", str(cls.http_status), cls.grpc_status, "yes" if cls.retryable else "", summary(cls))
        for cls in answered()
    ]
    return table(("code", "HTTP", "gRPC", "retryable", "when"), rows)


def page(text: str) -> str:
    for name, made in (("settings", settings()), ("errors", errors())):
        start, end = f"<!-- {name}:start -->", f"<!-- {name}:end -->"
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(end)
        if not rest or end not in rest:
            raise ValueError(f"docs/serving.md lacks {start} ... {end}")
        text = f"{before}{start}\n{made}\n{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
