"""Manifest of `identity-reward bulk` and `job`: JSONL with a line per item, checked as a whole before any work."""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, field_validator

from ..errors import InvalidRequest
from ..fields.fps import Fps, check_fps
from ..messages import Message
from ..wire.validation import explain

_Text = Annotated[str, Field(min_length=1)]


class ManifestLine(Message):
    """A line. Paths are relative to the manifest's folder. A line without an id gets a hash of its content as id."""

    id: _Text | int | None = None
    references: list[_Text] = Field(min_length=1)
    video: _Text
    prompt: str | None = None
    fps: Fps | None = None

    @field_validator("fps")
    @classmethod
    def _check_fps(cls, fps: Fps | None) -> Fps | None:
        try:
            return check_fps(fps)
        except InvalidRequest as error:
            raise ValueError(error.message) from None


@dataclass(frozen=True)
class BulkItem:
    """A valid line of a manifest with the id of its result, and the folder that its paths are relative to."""

    id: str
    # hash of the line without its id; detects another item under the same id
    item_sha256: str
    line: ManifestLine
    folder: Path

    @property
    def references(self) -> list[Path]:
        """Paths of the reference images."""
        return [self.folder / path for path in self.line.references]

    @property
    def video(self) -> Path:
        """Path of the video."""
        return self.folder / self.line.video


def read_manifest(path: Path, max_shown: int = 5) -> list[BulkItem]:
    """The items in order. InvalidRequest lists the faults by line number, `max_shown` of them."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InvalidRequest(f"no manifest at {path}") from None
    except UnicodeDecodeError:
        raise InvalidRequest(f"{path} isn't UTF-8 text") from None
    items: list[BulkItem] = []
    bad: list[str] = []
    first_line: dict[str, int] = {}
    for number, row in enumerate(text.split("\n"), 1):
        if not row.strip():
            continue
        try:
            item = _item(row, path.parent)
        except ValueError as error:
            bad.append(f"line {number}: {error}")
            continue
        if item.id in first_line:
            duplicate = "the same item" if item.line.id is None else f"the same id {item.id!r}"
            bad.append(f"line {number}: {duplicate} as line {first_line[item.id]}")
        first_line.setdefault(item.id, number)
        items.append(item)
    if bad:
        more = f"; and {len(bad) - max_shown} more" if len(bad) > max_shown else ""
        raise InvalidRequest(f"{path}: {'; '.join(bad[:max_shown])}{more}")
    if not items:
        raise InvalidRequest(f"{path} holds no items")
    return items


def _item(row: str, folder: Path) -> BulkItem:
    try:
        value = json.loads(row)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"expected a JSON object, got {type(value).__name__}")
    try:
        line = ManifestLine.model_validate(value)
    except ValidationError as error:
        raise ValueError(explain(error)) from None
    content = line.model_dump_json(exclude={"id"}, exclude_none=True)
    digest = sha256(content.encode()).hexdigest()
    return BulkItem(digest[:16] if line.id is None else str(line.id), digest, line, folder)
