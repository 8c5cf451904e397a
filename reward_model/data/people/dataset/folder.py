"""A data set's folder while it is written: which scenarios are done, and whose arguments it belongs to.

`world.json` holds the arguments and versions, `scenarios.log` a line for each scenario that is whole. A run that was
interrupted, however hard, goes on from there; the splits' JSONL files are written when all scenarios are.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from reward_model.data.records import PreferencePair, write_pairs

from ..scenarios.options import Options, PeopleError
from .media import write_bytes

WORLD, DONE = "world.json", "scenarios.log"
_PACKAGES = ("identity-reward", "numpy", "moderngl", "av", "opencv-python-headless", "openpeople")


class DataFolder:
    """Held by one run at a time."""

    def __init__(self, out: Path, options: Options):
        """PeopleError for a folder of other arguments, or one that another run writes to."""
        self.out = out
        try:
            for name in ("clips", "references"):
                (out / name).mkdir(parents=True, exist_ok=True)
            self._lock = (out / ".lock").open("w")
        except OSError as error:
            raise PeopleError(f"{out}: can't be written to ({error.strerror}); give another --out") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise PeopleError(f"{out}: another run writes there; wait for it, or give another --out") from None
        self._check(options.to_json())
        self.done = self._read_done()
        self._file: IO[str] = (out / DONE).open("a", encoding="utf-8")

    def _check(self, arguments: dict[str, Any]) -> None:
        path = self.out / WORLD
        if not path.exists():
            if any((self.out / "clips").iterdir()):
                raise PeopleError(f"{self.out}: has clips but no {WORLD}; give an empty folder")
            world = {"format": 1, "arguments": arguments, "versions": _versions()}
            write_bytes(path, (json.dumps(world, indent=2) + "\n").encode())
            return
        try:
            before = json.loads(path.read_text())["arguments"]
        except (ValueError, KeyError, TypeError):
            raise PeopleError(f"{path}: no {WORLD} of this program; give an empty folder") from None
        other = [name for name in {**before, **arguments} if before.get(name) != arguments.get(name)]
        if other:
            told = ", ".join(f"{name} {before.get(name)!r} (now {arguments.get(name)!r})" for name in sorted(other))
            raise PeopleError(f"{self.out}: was begun with {told}; use the same arguments, or another --out")

    def require_same_versions(self) -> None:
        """PeopleError where the scenarios that are done were drawn by other releases than the rest would be."""
        before, now = json.loads((self.out / WORLD).read_text())["versions"], _versions()
        if other := [f"{name} {before.get(name)} (now {now.get(name)})" for name in _PACKAGES
                     if before.get(name) != now.get(name)]:  # fmt: skip
            raise PeopleError(
                f"{self.out}: was begun by {', '.join(other)}, which may draw other pixels; go on with the same "
                "releases, or give another --out"
            )

    def _read_done(self) -> dict[int, list[PreferencePair]]:
        """What a kill left half written at the end is cut off."""
        path = self.out / DONE
        done: dict[int, list[PreferencePair]] = {}
        whole = 0
        if path.exists():
            for line in path.read_bytes().splitlines(keepends=True):
                if not line.endswith(b"\n"):
                    break
                entry = json.loads(line)
                done[entry["scenario"]] = [PreferencePair.model_validate(pair) for pair in entry["pairs"]]
                whole += len(line)
            os.truncate(path, whole)
        return done

    def add(self, scenario: int, pairs: list[PreferencePair]) -> None:
        """After its files are in place."""
        entry = {"scenario": scenario, "pairs": [pair.model_dump(mode="json") for pair in pairs]}
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()
        self.done[scenario] = pairs

    def finish(self, most: int) -> dict[str, int]:
        """Writes the splits' files in the order of scenarios, `most` pairs in all; {split: pairs}."""
        splits: dict[str, list[PreferencePair]] = defaultdict(list)
        pairs = [pair for scenario in sorted(self.done) for pair in self.done[scenario]][:most]
        for pair in pairs:
            splits[pair.split].append(pair)
        for split, kept in splits.items():
            write_pairs(self.out / f"{split}.jsonl", kept)
        return {split: len(kept) for split, kept in splits.items()}

    def close(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()
        self._lock.close()


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
