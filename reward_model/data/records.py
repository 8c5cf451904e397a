"""Preference records: JSONL, one pair of videos a line, with the references and the prompt that both were made from.

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
    """One line: the file, the line's number, what is wrong with it, and what would do."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Reference(_Record):
    """A picture of one person; `person` names the same person wherever they appear."""

    path: _Text
    person: _Text


class Votes(_Record):
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
    counts before what it states; packed clips have their own. `meta` of the rendered people: `mode`, the failure that
    decides the pair; `cluster`, the cast; `people`, everybody of the references and in the clips, impostors too; `a`
    and `b`, each {"modes": {mode: severity}, "quality": number}; `truth`, the exact label.
    """

    pair_id: _Text
    prompt: str
    references: Annotated[tuple[Reference, ...], Field(min_length=1)]
    video_a: _Text
    video_b: _Text
    # absent in a file: what the votes say
    label: Preference | None
    votes: Votes
    source: Source
    split: _Text
    fps: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    licence: str = ""
    meta: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _label_of_the_votes(cls, given: Any) -> Any:
        if isinstance(given, dict) and "label" not in given and "votes" in given:
            return {**given, "label": Votes.model_validate(given["votes"]).majority}
        return given

    @model_validator(mode="after")
    def _label_agrees(self) -> PreferencePair:
        if self.label != self.votes.majority:
            said, voted = (None if label is None else label.value for label in (self.label, self.votes.majority))
            counts = f"{self.votes.A} A, {self.votes.B} B, {self.votes.tie} tie"
            raise ValueError(f"the label is {said}, but the votes ({counts}) say {voted}; leave the label out")
        return self

    @property
    def has_label(self) -> bool:
        return self.label is not None

    @property
    def persons(self) -> tuple[str, ...]:
        """In the order of the references."""
        return tuple(reference.person for reference in self.references)

    @property
    def cluster(self) -> str:
        """What pairs share that are not independent of each other: the cast of people."""
        return str(self.meta.get("cluster") or "+".join(sorted(self.persons)))


def resolve(jsonl_path: Path, relative: str) -> Path:
    """Where a path of a record lies."""
    return Path(jsonl_path).parent / relative


def read_pairs(path: Path) -> list[PreferencePair]:
    """All pairs of a file in order. RecordError for the first line that is no record, or a file that has none."""
    pairs = []
    for found in scan_pairs(path):
        if isinstance(found, RecordError):
            raise found
        pairs.append(found)
    if not pairs:
        raise RecordError(f"{path}: no pairs in it; a line is a JSON object with pair_id, references, video_a, ...")
    return pairs


def scan_pairs(path: Path) -> Iterator[PreferencePair | RecordError]:
    """Each line as a record, or as what is wrong with it. RecordError for a file that can't be read."""
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise RecordError(f"{path}: no such file; give the JSONL of a data set, such as DATA/train.jsonl") from None
    except (OSError, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: can't be read as text ({error}); a file of pairs is UTF-8 JSONL") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _parsed(line, f"{path}, line {number}")


def write_pairs(path: Path, pairs: Iterable[PreferencePair]) -> None:
    """The file appears whole or stays as it was."""
    path = Path(path)
    whole = path.with_name(f".{path.name}.writing")
    with whole.open("w", encoding="utf-8") as file:
        for pair in pairs:
            file.write(pair.model_dump_json() + "\n")
    os.replace(whole, path)


def moved(pairs: Iterable[PreferencePair], source: Path, target: Path) -> list[PreferencePair]:
    """Records of the file `source` as they are written in the file `target`: their paths lead to the same files."""
    folder = target.resolve().parent
    if source.resolve().parent == folder:
        return list(pairs)

    def path(relative: str) -> str:
        return os.path.relpath(resolve(source.resolve(), relative), folder)

    return [
        pair.model_copy(
            update={
                "references": tuple(one.model_copy(update={"path": path(one.path)}) for one in pair.references),
                "video_a": path(pair.video_a),
                "video_b": path(pair.video_b),
            }
        )
        for pair in pairs
    ]


def _parsed(line: str, where: str) -> PreferencePair | RecordError:
    try:
        return PreferencePair.model_validate(json.loads(line))
    except json.JSONDecodeError as error:
        return RecordError(f"{where}: no JSON ({error.msg} at column {error.colno}); one JSON object a line")
    except ValidationError as error:
        return RecordError(f"{where}: {explain(error)}")


def explain(error: ValidationError) -> str:
    """The first faults of a record in one line."""
    faults = []
    for fault in error.errors(include_url=False)[:3]:
        place = ".".join(str(part) for part in fault["loc"])
        given = "" if fault["type"] in ("missing", "value_error") else f", got {fault['input']!r:.80}"
        message = fault["msg"].removeprefix("Value error, ")
        faults.append(f"{place}: {message}{given}" if place else message + given)
    return "; ".join(faults)
