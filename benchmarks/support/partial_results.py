"""Results of a long benchmark as they come, in a JSON lines file, so that a run that was stopped continues."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class PartialResults:
    """Results by name; those of a file with other settings are dropped.

    The first line has the settings, each other one a name and a result. A line that was cut off by a kill is dropped.
    """

    def __init__(self, path: Path | None, settings: Mapping[str, Any]):
        """path: None keeps results in memory only. settings: what decides the results, as JSON values."""
        self._path = path
        self._results: dict[str, Any] = {}
        if path is None:
            return
        header = {"settings": dict(settings)}
        lines = _lines(path)
        if lines and lines[0] == header:
            self._results = {line["name"]: line["result"] for line in lines[1:]}
        path.parent.mkdir(parents=True, exist_ok=True)
        complete = [header, *({"name": name, "result": result} for name, result in self._results.items())]
        path.write_text("".join(json.dumps(line) + "\n" for line in complete))

    def __contains__(self, name: str) -> bool:
        return name in self._results

    def __getitem__(self, name: str) -> Any:
        return self._results[name]

    def add(self, name: str, result: Any) -> None:
        """result: a JSON value."""
        self._results[name] = result
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(json.dumps({"name": name, "result": result}) + "\n")


def _lines(path: Path) -> list[Any]:
    lines = []
    for text in path.read_text().splitlines() if path.is_file() else ():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines
