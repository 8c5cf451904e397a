"""Readable text for what pydantic found wrong, without the input's values: requests carry people's pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from ..errors import InvalidRequest

# names that pydantic puts into a location for the branch of a union that it tried, which no sender wrote
_BRANCHES = ("list[", "constrained-str", "function-")


def explain(error: ValidationError, most: int = 3) -> str:
    """`"videos.1.fps: Input should be a valid number; ..."`, at most `most` findings."""
    return explain_found(error.errors(include_url=False, include_context=False, include_input=False), most)


def explain_found(found: Sequence[Mapping[str, Any]], most: int = 3) -> str:
    """The same for what `ValidationError.errors()` gave, which may have travelled as JSON."""
    lines = []
    for one in found[:most]:
        place = ".".join(str(part)[:60] for part in one["loc"] if not str(part).startswith(_BRANCHES))
        text = one["msg"].removeprefix("Value error, ")
        lines.append(f"{place}: {text}" if place else text)
    if len(found) > most:
        lines.append(f"and {len(found) - most} more")
    return "; ".join(lines)


@contextmanager
def refusing() -> Iterator[None]:
    """What pydantic finds wrong inside is an InvalidRequest outside."""
    try:
        yield
    except ValidationError as error:
        raise InvalidRequest(explain(error)) from None
