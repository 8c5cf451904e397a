"""Markdown tables, and JSON schema types as Markdown text."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import Any


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(map(cell, cells)) + " |" for cells in lines)


def cell(text: str) -> str:
    """One line, without a bar that would end the cell."""
    return " ".join(text.split()).replace("|", "\\|")


def paragraph(text: str) -> str:
    """Prose in lines of at most 120 characters."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def plain(text: str) -> str:
    """Prose in which `<`, `*`, `_` and brackets of names outside backquotes are not taken for markup."""
    parts = text.split("`")
    return "`".join(
        part if i % 2 else re.sub(r"([<*\[\]]|(?<=\w)_(?=\w))", r"\\\1", part) for i, part in enumerate(parts)
    )


def schema_type(schema: dict[str, Any]) -> str:
    """`list of [Image](#image)` and the like, of a JSON schema as pydantic writes it."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        options = [schema_type(option) for option in schema["anyOf"] if option.get("type") != "null"]
        return " or ".join(options) + (" or null" if len(options) < len(schema["anyOf"]) else "")
    if "const" in schema:
        return f'`"{schema["const"]}"`'
    if "enum" in schema:
        return " or ".join(f'`"{value}"`' for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {schema_type(schema.get('items', {}))}"
    if "contentEncoding" in schema:
        return f"{schema['contentEncoding']} string"
    return str(schema.get("type", "any"))
