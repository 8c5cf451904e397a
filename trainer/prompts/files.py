"""Prompts of GRPO: a text and the reference images of the people it names."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reward_model.training.errors import TrainingError


@dataclass(frozen=True)
class Prompt:
    """One prompt of a data set. A group is several videos of one prompt.

    `key` identifies it and not its text: one text may go with several sets of references.
    """

    key: str
    text: str
    # images in the order in which the text names the people
    references: tuple[Path, ...]


def read_prompts(path: str | Path) -> tuple[Prompt, ...]:
    """Prompts of a file, in its order. Paths of references are relative to the file's folder.

    A `.csv` file has the columns of the released prompts: `ref_paths`, separated by semicolons, and `prompt`; its keys
    are the file's name and the number of the row from 1. Every other file is JSONL, an object per line:
    {"id": "p1", "prompt": "Two people ...", "references": ["anna.jpg", "ben.jpg"]}.

    Raises TrainingError, which names file and line, for a file that cannot be read, an empty prompt, no references, a
    missing image and a key that occurs twice.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(_csv_rows(file, path) if path.suffix.lower() == ".csv" else _jsonl_rows(file, path))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingError(f"{path}: the prompts can't be read: {error}") from None
    prompts: dict[str, Prompt] = {}
    for where, key, text, references in rows:
        if key in prompts:
            raise TrainingError(f"{where}: the id {key!r} occurs twice")
        prompts[key] = _prompt(where, key, text, references, path.parent)
    if not prompts:
        raise TrainingError(f"{path}: there are no prompts in it")
    return tuple(prompts.values())


def _csv_rows(file: Any, path: Path) -> Iterator[tuple[str, str, str, list[str]]]:
    """(file and line, key, text, references) of each row."""
    reader = csv.DictReader(file)
    missing = [name for name in ("ref_paths", "prompt") if name not in (reader.fieldnames or ())]
    if missing:
        raise TrainingError(f"{path}: no column {', '.join(missing)}; prompts have the columns ref_paths and prompt")
    for number, row in enumerate(reader, 1):
        where = f"{path}:{reader.line_num}"
        if None in row or None in row.values():
            raise TrainingError(f"{where}: the header has another number of columns; quote cells with commas")
        references = [name for name in map(str.strip, row["ref_paths"].split(";")) if name]
        yield where, f"{path.stem}-{number}", row["prompt"], references


def _jsonl_rows(file: Any, path: Path) -> Iterator[tuple[str, str, str, list[str]]]:
    for number, line in enumerate(file, 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise TrainingError(f"{where}: no JSON ({error})") from None
        if not isinstance(row, dict) or set(row) != {"id", "prompt", "references"}:
            fields = ", ".join(row) if isinstance(row, dict) else type(row).__name__
            raise TrainingError(f"{where}: a prompt has the fields id, prompt and references; got {fields}")
        key, text, references = row["id"], row["prompt"], row["references"]
        if not isinstance(key, str) or not key or not isinstance(text, str):
            raise TrainingError(f"{where}: id and prompt are texts, and the id is not empty")
        if not isinstance(references, list) or not all(isinstance(name, str) and name for name in references):
            raise TrainingError(f"{where}: references are a list of paths")
        yield where, key, text, references


def _prompt(where: str, key: str, text: str, references: list[str], folder: Path) -> Prompt:
    if not text.strip():
        raise TrainingError(f"{where}: the prompt is empty")
    if not references:
        raise TrainingError(f"{where}: the prompt has no references; give an image of each person that it names")
    paths = tuple(folder / name for name in references)
    for image in paths:
        if not image.is_file():
            raise TrainingError(f"{where}: the reference {image} is no file")
    return Prompt(key, text.strip(), paths)
