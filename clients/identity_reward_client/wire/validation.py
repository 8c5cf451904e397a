"""Readable text for pydantic's findings, without the input's values: requests carry images of people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from ..errors import InvalidRequest

# names that pydantic puts into a location for the branch of a union that it tried; they are not fields of the input
_BRANCHES = ("list[", "constrained-str", "function-")
# findings which say only that the input has the type of another branch
_OTHER_TYPE = ("string_type", "list_type")


def explain(error: ValidationError, max_findings: int = 3) -> str:
    """`"videos.1.fps: Input should be a valid number; ..."`."""
    return explain_findings(error.errors(include_url=False, include_context=False, include_input=False), max_findings)


def explain_findings(findings: Sequence[Mapping[str, Any]], max_findings: int = 3) -> str:
    """The same for the result of `ValidationError.errors()`, which may have travelled as JSON."""
    findings = _without_other_branches(findings)
    lines = []
    for finding in findings[:max_findings]:
        path = ".".join(str(part)[:60] for part in finding["loc"] if not _is_branch(part))
        text = finding["msg"].removeprefix("Value error, ")
        lines.append(f"{path}: {text}" if path else text)
    if len(findings) > max_findings:
        lines.append(f"and {len(findings) - max_findings} more")
    return "; ".join(lines)


def _without_other_branches(findings: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Leaves out branches of a union that the input was never meant for, if another branch explains the fault."""
    relevant = [finding for finding in findings if not _is_other_type(finding)]
    explained = {_union(finding["loc"]) for finding in relevant}
    return [finding for finding in findings if finding in relevant or _union(finding["loc"]) not in explained]


def _union(loc: Sequence[Any]) -> tuple[Any, ...] | None:
    """Location of the union that a finding lies in, None outside of unions."""
    for i, part in enumerate(loc):
        if _is_branch(part):
            return tuple(loc[:i])
    return None


def _is_branch(part: Any) -> bool:
    return str(part).startswith(_BRANCHES)


def _is_other_type(finding: Mapping[str, Any]) -> bool:
    return bool(finding["loc"]) and _is_branch(finding["loc"][-1]) and finding.get("type") in _OTHER_TYPE


@contextmanager
def raise_invalid_request() -> Iterator[None]:
    """Turns pydantic's ValidationError into InvalidRequest."""
    try:
        yield
    except ValidationError as error:
        raise InvalidRequest(explain(error)) from None
