"""Readable text for what pydantic found wrong, without the input's values: requests carry people's pictures."""

from __future__ import annotations

from pydantic import ValidationError

# names that pydantic puts into a location for the branch of a union that it tried, which no sender wrote
_BRANCHES = ("list[Image]", "constrained-str", "function-")


def explain(error: ValidationError, most: int = 3) -> str:
    """`"videos.1.fps: Input should be a valid number; ..."`, at most `most` findings."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    lines = []
    for one in found[:most]:
        place = ".".join(str(part) for part in one["loc"] if not str(part).startswith(_BRANCHES))
        text = one["msg"].removeprefix("Value error, ")
        lines.append(f"{place}: {text}" if place else text)
    if len(found) > most:
        lines.append(f"and {len(found) - most} more")
    return "; ".join(lines)
