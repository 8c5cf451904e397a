"""Output file of `identity-reward bulk`: JSONL with a line per item, intact after a kill at any moment."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import Conflict, InvalidRequest
from .manifest import BulkItem

try:
    import fcntl
except ImportError:  # Windows, where concurrent runs on one file are not detected
    fcntl = None  # type: ignore[assignment]

_LINE_START = b'{"id": '  # beginning of every line, by which one that a kill cut short is recognised


class BulkOutput:
    """Opens or creates the file, locks it, repairs a torn last line and reads the others.

    `records` maps an item's id to its line. InvalidRequest for a file with other lines, which stays as it is; Conflict
    if another run has it open.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "a+b")  # noqa: SIM115  close() closes it
        try:
            _lock(self._file, path)
            self.records = self._read()
        except BaseException:
            self._file.close()
            raise

    def append(self, record: dict[str, Any]) -> None:
        """Write one line; it survives a kill of this process after the return."""
        self._file.write(_line(record))
        self._file.flush()
        self.records[record["id"]] = record

    def drop_failed(self) -> None:
        """Remove the lines with an error; a kill leaves either the old file or the new one."""
        scored = {key: record for key, record in self.records.items() if "error" not in record}
        if len(scored) == len(self.records):
            return
        temporary = self.path.with_name(self.path.name + ".new")
        file = open(temporary, "w+b")  # noqa: SIM115
        _lock(file, temporary)
        file.writelines(_line(record) for record in scored.values())
        file.flush()
        os.fsync(file.fileno())
        os.replace(temporary, self.path)
        self._file.close()
        self._file, self.records = file, scored

    def check_same(self, items: list[BulkItem]) -> None:
        """InvalidRequest if the file has a line for another item under the same id."""
        for item in items:
            record = self.records.get(item.id)
            if record is not None and record.get("item_sha256") != item.item_sha256:
                raise InvalidRequest(f"{self.path} has id {item.id!r} for another item: change the id or the -o")

    def close(self) -> None:
        """Close the file and release the lock."""
        self._file.close()

    def _read(self) -> dict[str, dict[str, Any]]:
        self._file.seek(0)
        *complete_lines, last = self._file.read().split(b"\n")
        records = {}
        for number, line in enumerate(complete_lines, 1):
            record = _record(line)
            if record is None:
                raise self._not_a_result(number)
            records[record["id"]] = record
        if last:
            record = _record(last)
            if record is not None:  # only the line end is missing
                records[record["id"]] = record
                self._file.write(b"\n")
                self._file.flush()
            elif last.startswith(_LINE_START) or _LINE_START.startswith(last):
                self._file.truncate(sum(len(line) + 1 for line in complete_lines))
            else:
                raise self._not_a_result(len(complete_lines) + 1)
        return records

    def _not_a_result(self, number: int) -> InvalidRequest:
        return InvalidRequest(f"line {number} of {self.path} isn't a result of bulk; give another -o")


def _record(line: bytes) -> dict[str, Any] | None:
    with suppress(ValueError, RecursionError):
        record = json.loads(line)
        if isinstance(record, dict) and isinstance(record.get("id"), str):
            return record if ("reward" in record) != ("error" in record) else None
    return None


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _lock(file: BinaryIO, path: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Conflict(f"another run is writing {path}") from None
