"""Answers of a model by the content of their request: a journal that is intact after a kill at any moment."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

from reward_model.training.errors import TrainingError

from .files import Prompt
from .request import INSTRUCTION

try:
    import fcntl
except ImportError:  # Windows, where concurrent runs on one file are not detected
    fcntl = None  # type: ignore[assignment]

_LINE_START = b'{"key": "'  # beginning of every line, by which one that a kill cut short is recognised


def content_key(prompt: Prompt, image_hashes: list[str], model: str) -> str:
    """SHA-256 of all that a good answer depends on: images, draft, model and instruction. Not the row's id."""
    content = [model, INSTRUCTION, prompt.text, image_hashes]
    return sha256(json.dumps(content).encode()).hexdigest()


class AnswerCache:
    """A JSONL file with a line per answer, open for one run at a time.

    Raises TrainingError for a file with other lines, which stays as it is, and for one that another run has open.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "a+b")  # noqa: SIM115  close() closes it
        try:
            self._lock()
            self._answers = self._read()
        except BaseException:
            self._file.close()
            raise

    def get(self, key: str) -> str | None:
        """The answer with this key."""
        return self._answers.get(key)

    def put(self, key: str, answer: str) -> None:
        """Keep an answer; it survives a kill of this process after the return."""
        self._file.write(json.dumps({"key": key, "answer": answer}).encode() + b"\n")
        self._file.flush()
        self._answers[key] = answer

    def close(self) -> None:
        """Close the file and release the lock."""
        self._file.close()

    def _lock(self) -> None:
        if fcntl is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingError(f"another run is writing {self.path}") from None

    def _read(self) -> dict[str, str]:
        self._file.seek(0)
        *lines, last = self._file.read().split(b"\n")
        if last and not (last.startswith(_LINE_START) or _LINE_START.startswith(last)):
            lines.append(last)  # of another file: reported below
        answers = dict(self._parse(line, number) for number, line in enumerate(lines, 1))
        if last:  # a kill cut it short
            self._file.truncate(sum(len(line) + 1 for line in lines))
        return answers

    def _parse(self, line: bytes, number: int) -> tuple[str, str]:
        try:
            row = json.loads(line)
            key, answer = row["key"], row["answer"]
        except (ValueError, RecursionError, LookupError, TypeError):
            key = answer = None
        if not isinstance(key, str) or not isinstance(answer, str):
            raise TrainingError(f"{self.path}:{number}: no answer of a model; give another --cache")
        return key, answer
