"""Preference records: JSONL with one pair of videos per line, and the references and prompt that both were made from.

A label follows from the votes by strict majority, as in Identity-GRPO (arXiv 2510.14256, section 3.1.3: three
annotators, "A better", "ties", "B better"). Where no answer has more than half of the votes the label is None: such
pairs stay in the file and are left out where a label is needed (`has_label`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from identity_reward_client.preference import Preference

Source = Literal["human", "vlm", "construction"]
_Text = Annotated[str, Field(min_length=1)]
_Count = Annotated[int, Field(ge=0)]


class RecordError(Exception):
    """A file or line that is no record. The message is one line: file, line number, the fault and the remedy."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Reference(_Record):
    """An image of one person; `person` is the same name wherever this person appears."""

    path: _Text
    person: _Text


class Votes(_Record):
    """Numbers of annotators who prefer A, B, or neither."""

    A: _Count = 0
    B: _Count = 0
    tie: _Count = 0

    @property
    def majority(self) -> Preference | None:
        """The answer with more than half of all votes; None where there is none."""
        counts = {Preference.A: self.A, Preference.B: self.B, Preference.TIE: self.tie}
        total = sum(counts.values())
        return next((answer for answer, count in counts.items() if 2 * count > total), None)


class PreferencePair(_Record):
    """Two videos of the same references and prompt, and which keeps the identities better.

    Paths are relative to the folder of the JSONL (`resolve`). `fps` is needed where a video's file states none, and
    overrides what the file states; packed clips have their own. `meta` of generated people: `mode`, the corruption that
    decides the pair; `cluster`, the cast; `people`, everybody in references and clips, impostors included; `a` and `b`,
    each {"modes": {corruption: severity}, "quality": number}, with {"nuisances": {kind: strength}} where a clip has
    some; `truth`, the exact label.
    """

    pair_id: _Text
    prompt: str
    references: Annotated[tuple[Reference, ...], Field(min_length=1)]
    video_a: _Text
    video_b: _Text
    # derived from the votes where a file leaves it out
    label: Preference | None
    votes: Votes
    source: Source
    split: _Text
    fps: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    licence: str = ""
    meta: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _fill_label(cls, values: Any) -> Any:
        if isinstance(values, dict) and "label" not in values and "votes" in values:
            return {**values, "label": Votes.model_validate(values["votes"]).majority}
        return values

    @model_validator(mode="after")
    def _check_label(self) -> PreferencePair:
        if self.label != self.votes.majority:
            stated, voted = (None if label is None else label.value for label in (self.label, self.votes.majority))
            counts = f"{self.votes.A} A, {self.votes.B} B, {self.votes.tie} tie"
            raise ValueError(f"the label is {stated}, but the votes ({counts}) say {voted}; leave the label out")
        return self

    @property
    def has_label(self) -> bool:
        return self.label is not None

    @property
    def persons(self) -> tuple[str, ...]:
        """Names in the order of the references."""
        return tuple(reference.person for reference in self.references)

    @property
    def cluster(self) -> str:
        """Equal for pairs that are not independent of each other: the cast of people."""
        return str(self.meta.get("cluster") or "+".join(sorted(self.persons)))


def resolve(jsonl_path: Path, relative: str) -> Path:
    """The location of a record's path."""
    return Path(jsonl_path).parent / relative


def read_pairs(path: Path) -> list[PreferencePair]:
    """All pairs of a file in order. RecordError for the first line that is no record, or a file that has none."""
    pairs = []
    for record in scan_pairs(path):
        if isinstance(record, RecordError):
            raise record
        pairs.append(record)
    if not pairs:
        raise RecordError(f"{path}: no pairs in it; a line is a JSON object with pair_id, references, video_a, ...")
    return pairs


def scan_pairs(path: Path) -> Iterator[PreferencePair | RecordError]:
    """Yields each line as a record, or as the error of that line. RecordError for a file that cannot be read."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise RecordError(f"{path}: no such file; give the JSONL of a data set, such as DATA/train.jsonl") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: can't be read as text ({error}); a file of pairs is UTF-8 JSONL") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _parse(line, f"{path}, line {number}")


def write_pairs(path: Path, pairs: Iterable[PreferencePair]) -> None:
    """Replaces the file atomically."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.writing")
    with partial.open("w", encoding="utf-8") as file:
        for pair in pairs:
            file.write(pair.model_dump_json() + "\n")
    os.replace(partial, path)


def relocate(pairs: Iterable[PreferencePair], source: Path, target: Path) -> list[PreferencePair]:
    """Records of the file `source` for the file `target`: relative paths that lead to the same files."""
    folder = target.resolve().parent
    if source.resolve().parent == folder:
        return list(pairs)

    def path(relative: str) -> str:
        return os.path.relpath(resolve(source.resolve(), relative), folder)

    return [
        pair.model_copy(
            update={
                "references": tuple(
                    reference.model_copy(update={"path": path(reference.path)}) for reference in pair.references
                ),
                "video_a": path(pair.video_a),
                "video_b": path(pair.video_b),
            }
        )
        for pair in pairs
    ]


def _parse(line: str, location: str) -> PreferencePair | RecordError:
    try:
        return PreferencePair.model_validate(json.loads(line))
    except json.JSONDecodeError as error:
        return RecordError(f"{location}: no JSON ({error.msg} at column {error.colno}); one JSON object a line")
    except ValidationError as error:
        return RecordError(f"{location}: {explain(error)}")


def explain(error: ValidationError) -> str:
    """The first three faults of a record in one line."""
    faults = []
    for fault in error.errors(include_url=False)[:3]:
        field = ".".join(str(part) for part in fault["loc"])
        value = "" if fault["type"] in ("missing", "value_error") else f", got {fault['input']!r:.80}"
        message = fault["msg"].removeprefix("Value error, ")
        faults.append(f"{field}: {message}{value}" if field else message + value)
    return "; ".join(faults)
