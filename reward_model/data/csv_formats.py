"""Conversion of preference records from and to the CSV of VideoAlign and of VideoGen-RewardBench.

VideoAlign (KwaiVGI/VideoAlign, `data.py`): path_A, path_B, prompt, a label column per dimension (VQ, MQ, TA, ...: A,
B, same, or anything else for invalid), fps_A, num_frames_A, fps_B, num_frames_B. RewardBench adds A_model, B_model
and Overall. Neither has references or identities, so those files themselves are refused: to judge identity, add a
column `ref_paths` (images of the people, separated by semicolons), and choose the label column, `SA` by default. `meta`
keeps the other columns, so that a file that was read is written back as it was.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from identity_reward_client.preference import Preference

from .records import PreferencePair, RecordError, Reference, Source, Votes, explain

LABEL = "SA"
_PATHS = ("path_A", "path_B")
_FPS_COLUMNS = ("fps_A", "fps_B")
_WORDS = {Preference.A: "A", Preference.B: "B", Preference.TIE: "same"}
_LABELS = {word: label for label, word in _WORDS.items()}
# columns that a record has a field for
_RECORD_COLUMNS = {"path_A", "path_B", "prompt", "ref_paths"}


def read_csv(
    path: Path, label: str = LABEL, *, split: str = "train", source: Source = "human", licence: str = ""
) -> list[PreferencePair]:
    """A pair per row, with one vote as in the column `label`, and none where that is neither A, B nor same.

    A person's name is the path of their image relative to the folder above the file's, so that equal names in different
    folders are different people. A pair's id is the file's name and the row. The pair's frame rate is that of fps_A and
    fps_B; videos of two rates have to state them in their files. RecordError for a file that lacks a column, or a row
    that is no record.
    """
    try:
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            columns, rows = list(reader.fieldnames or ()), list(reader)
    except FileNotFoundError:
        raise RecordError(f"{path}: no such file; give a CSV with path_A, path_B, prompt, ref_paths, {label}") from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RecordError(f"{path}: can't be read as CSV ({error})") from None
    missing = [name for name in (*_PATHS, "prompt", "ref_paths", label) if name not in columns]
    if missing:
        raise RecordError(
            f"{path}: no column {', '.join(missing)}; it has {', '.join(columns) or 'none'}. VideoAlign's and "
            "VideoGen-RewardBench's own files name no images of people: add a column ref_paths (paths of reference "
            "images, separated by semicolons). The label column is chosen by name"
        )
    return [_pair(row, Path(path), n, label, split, source, licence) for n, row in enumerate(rows, 1)]


def write_csv(path: Path, pairs: Iterable[PreferencePair], label: str = LABEL) -> None:
    """Votes become their majority, "invalid" where there is none. Columns that were read are written back."""
    rows = [_row(pair, label) for pair in pairs]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    partial = Path(path).with_name(f".{Path(path).name}.writing")
    with partial.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(partial, path)


def _pair(
    row: dict[str, str], path: Path, number: int, label: str, split: str, source: Source, licence: str
) -> PreferencePair:
    location, folder = f"{path}, row {number}", path.resolve().parent.name
    if None in row or None in row.values():
        raise RecordError(
            f"{location}: {len(row)} columns where the header has another number; quote cells with commas"
        )
    vote = _LABELS.get(row[label].strip())
    votes = Votes(**{vote.value: 1}) if vote else Votes()
    rates = {name: _parse_fps(row.get(name, ""), name, location) for name in _FPS_COLUMNS}
    distinct = {rate for rate in rates.values() if rate}
    try:
        return PreferencePair(
            pair_id=f"{path.stem}-{number}",
            prompt=row["prompt"],
            references=tuple(
                Reference(path=ref, person=os.path.normpath(os.path.join(folder, ref)))
                for ref in map(str.strip, row["ref_paths"].split(";"))
                if ref
            ),
            video_a=row["path_A"],
            video_b=row["path_B"],
            label=votes.majority,
            votes=votes,
            source=source,
            split=split,
            fps=distinct.pop() if len(distinct) == 1 else None,
            licence=licence,
            meta={"columns": {name: cell for name, cell in row.items() if name not in _RECORD_COLUMNS}},
        )
    except ValidationError as error:
        raise RecordError(f"{location}: {explain(error)}") from None


def _parse_fps(cell: str, column: str, location: str) -> float | None:
    if not cell.strip():
        return None
    try:
        rate = float(cell)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise RecordError(
            f"{location}: {column} is {cell!r}; frames per second are a positive number, or an empty cell"
        )
    return rate


def _row(pair: PreferencePair, label: str) -> dict[str, str]:
    columns = dict(pair.meta.get("columns", {}))
    if pair.fps is not None:
        for name in _FPS_COLUMNS:
            if not columns.get(name, "").strip():
                columns[name] = repr(pair.fps)
    word = _WORDS[pair.label] if pair.label is not None else "invalid"
    if label in columns and columns[label].strip() not in _LABELS and pair.label is None:
        word = columns[label]
    references = ";".join(reference.path for reference in pair.references)
    return {
        "path_A": pair.video_a, "path_B": pair.video_b, "prompt": pair.prompt, "ref_paths": references, **columns,
        label: word,
    }  # fmt: skip
