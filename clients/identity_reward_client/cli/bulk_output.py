"""The output of `identity-reward bulk`: JSONL, a line an item, that survives being killed at any moment."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import Conflict, InvalidRequest
from .manifest import BulkItem

try:
    import fcntl
except ImportError:  # Windows: two runs at once on one file are then not caught
    fcntl = None  # type: ignore[assignment]

_START = b'{"id": '  # of every line; what a kill leaves of one begins so


class BulkOutput:
    """Opens (or makes) the file, locks it, repairs a torn last line and reads what is there.

    `records` maps an item's id to its line. InvalidRequest where a line isn't one of ours: nothing is overwritten.
    """

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "a+b")  # noqa: SIM115  closed by close()
        try:
            _lock(self._file, path)
            self.records = self._read()
        except BaseException:
            self._file.close()
            raise

    def append(self, record: dict[str, Any]) -> None:
        """One line, in the kernel's hands when this returns."""
        self._file.write(_line(record))
        self._file.flush()
        self.records[record["id"]] = record

    def drop_failed(self) -> None:
        """Takes the lines with an error out; a kill leaves either the old file or the new one."""
        kept = {key: record for key, record in self.records.items() if "error" not in record}
        if len(kept) == len(self.records):
            return
        temporary = self.path.with_name(self.path.name + ".new")
        file = open(temporary, "w+b")  # noqa: SIM115
        _lock(file, temporary)
        file.writelines(_line(record) for record in kept.values())
        file.flush()
        os.fsync(file.fileno())
        os.replace(temporary, self.path)
        self._file.close()
        self._file, self.records = file, kept

    def check_same(self, items: list[BulkItem]) -> None:
        """InvalidRequest where an id of the manifest stands here for something else."""
        for item in items:
            record = self.records.get(item.id)
            if record is not None and record.get("item_sha256") != item.item_sha256:
                raise InvalidRequest(f"{self.path} has id {item.id!r} for another item: change the id or the -o")

    def close(self) -> None:
        self._file.close()

    def _read(self) -> dict[str, dict[str, Any]]:
        self._file.seek(0)
        *whole, last = self._file.read().split(b"\n")
        records = {}
        for number, line in enumerate(whole, 1):
            record = _record(line)
            if record is None:
                raise self._foreign(number)
            records[record["id"]] = record
        if last:
            record = _record(last)
            if record is not None:  # only the line's end was missing
                records[record["id"]] = record
                self._file.write(b"\n")
                self._file.flush()
            elif last.startswith(_START) or _START.startswith(last):
                self._file.truncate(sum(len(line) + 1 for line in whole))
            else:
                raise self._foreign(len(whole) + 1)
        return records

    def _foreign(self, number: int) -> InvalidRequest:
        return InvalidRequest(f"line {number} of {self.path} isn't a result of bulk; give another -o")


def _record(line: bytes) -> dict[str, Any] | None:
    with suppress(ValueError, RecursionError):
        record = json.loads(line)
        if isinstance(record, dict) and isinstance(record.get("id"), str):
            return record if ("reward" in record) != ("error" in record) else None
    return None


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def _lock(file, path: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise Conflict(f"another run is writing {path}") from None
