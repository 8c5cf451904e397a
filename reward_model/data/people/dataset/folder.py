"""State of a data set's folder while it is written: its options, and the scenarios that are complete.

`world.json` holds the options and versions, `scenarios.log` a line for each complete scenario. A run that was
interrupted, even killed, resumes from there; the splits' JSONL files are written when all scenarios are complete.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections import defaultdict
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any

from reward_model.data.records import PreferencePair, write_pairs

from ..scenarios.options import WORLD, PeopleError, PeopleOptions
from .media import write_bytes

COMPLETE_LOG = "scenarios.log"
# packages whose releases decide pixels
_PACKAGES = ("identity-reward", "numpy", "moderngl", "av", "opencv-python-headless", "openpeople")


class DataFolder:
    """Locked by one run at a time. `complete`: {index of a scenario: its records}."""

    def __init__(self, out: Path, options: PeopleOptions):
        """PeopleError for a folder of other options, one that another run writes to, or one that is not writable."""
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
        self._check_options(options.to_json())
        self.complete = self._read_complete()
        self._log: IO[str] = (out / COMPLETE_LOG).open("a", encoding="utf-8")

    def _check_options(self, options: dict[str, Any]) -> None:
        path = self.out / WORLD
        if not path.exists():
            if any((self.out / "clips").iterdir()):
                raise PeopleError(f"{self.out}: has clips but no {WORLD}; give an empty folder")
            world = {"format": 1, "arguments": options, "versions": _installed_versions()}
            write_bytes(path, (json.dumps(world, indent=2) + "\n").encode())
            return
        try:
            before = json.loads(path.read_text())["arguments"]
        except (ValueError, KeyError, TypeError):
            raise PeopleError(f"{path}: no {WORLD} of this program; give an empty folder") from None
        changed = sorted(name for name in {**before, **options} if before.get(name) != options.get(name))
        if changed:
            changes = ", ".join(f"{name} {before.get(name)!r} (now {options.get(name)!r})" for name in changed)
            raise PeopleError(f"{self.out}: was begun with {changes}; use the same arguments, or another --out")

    def require_same_versions(self) -> None:
        """PeopleError if other releases rendered the complete scenarios than would render the rest."""
        before, now = json.loads((self.out / WORLD).read_text())["versions"], _installed_versions()
        changes = [
            f"{name} {before.get(name)} (now {now.get(name)})"
            for name in _PACKAGES
            if before.get(name) != now.get(name)
        ]
        if changes:
            raise PeopleError(
                f"{self.out}: was begun by {', '.join(changes)}, which may render other pixels; resume with the same "
                "releases, or give another --out"
            )

    def _read_complete(self) -> dict[int, list[PreferencePair]]:
        """Truncates a line that a killed run left half written."""
        path = self.out / COMPLETE_LOG
        complete: dict[int, list[PreferencePair]] = {}
        complete_bytes = 0
        if path.exists():
            for line in path.read_bytes().splitlines(keepends=True):
                if not line.endswith(b"\n"):
                    break
                entry = json.loads(line)
                complete[entry["scenario"]] = [PreferencePair.model_validate(pair) for pair in entry["pairs"]]
                complete_bytes += len(line)
            os.truncate(path, complete_bytes)
        return complete

    def add(self, scenario: int, pairs: list[PreferencePair]) -> None:
        """Records a scenario whose files are in place."""
        entry = {"scenario": scenario, "pairs": [pair.model_dump(mode="json") for pair in pairs]}
        self._log.write(json.dumps(entry) + "\n")
        self._log.flush()
        self.complete[scenario] = pairs

    def finish(self, max_pairs: int) -> dict[str, int]:
        """Writes the splits' files in the order of scenarios, at most `max_pairs` in all; {split: number of pairs}."""
        splits: dict[str, list[PreferencePair]] = defaultdict(list)
        pairs = [pair for scenario in sorted(self.complete) for pair in self.complete[scenario]][:max_pairs]
        for pair in pairs:
            splits[pair.split].append(pair)
        for split, split_pairs in splits.items():
            write_pairs(self.out / f"{split}.jsonl", split_pairs)
        return {split: len(split_pairs) for split, split_pairs in splits.items()}

    def close(self) -> None:
        if hasattr(self, "_log"):
            self._log.close()
        self._lock.close()


def _installed_versions() -> dict[str, str]:
    versions = {}
    for name in _PACKAGES:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return versions
