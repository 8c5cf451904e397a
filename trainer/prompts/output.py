"""The two files of `identity-reward grpo prompts`: prompts that a training reads, and rows that failed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from reward_model.training.errors import TrainingError
from reward_model.training.loop.state import write_atomically

from .files import Prompt
from .rewriting import Rewritten


class PromptOutput:
    """`path` and its siblings `NAME.failed.jsonl` and, unless `cache` names another file, `NAME.answers.jsonl`.

    Raises TrainingError for a name that `read_prompts` takes for a CSV, and for files that would overwrite `data` or
    each other.
    """

    def __init__(self, path: Path, data: Path, cache: Path | None = None) -> None:
        if path.suffix.lower() == ".csv":
            raise TrainingError(f"{path}: prompts are written as JSONL; give the output a name such as prompts.jsonl")
        stem = path.name.removesuffix(".jsonl")
        self.path, self.failed = path, path.with_name(f"{stem}.failed.jsonl")
        self.cache = cache or path.with_name(f"{stem}.answers.jsonl")
        files = [file.resolve() for file in (data, self.path, self.failed, self.cache)]
        if len(set(files)) < len(files):
            raise TrainingError(f"{path}: data, output, failed rows and cache are four different files")

    def write(self, prompts: Iterable[Prompt], result: Rewritten) -> None:
        """Replace both files, with the rows in the order of `prompts`. Without failures there is no file of them."""
        prompts = list(prompts)
        _write(self.path, [self._row(row, result.texts[row.key]) for row in prompts if row.key in result.texts])
        failed = []
        for failure in (result.failures[row.key] for row in prompts if row.key in result.failures):
            error = {"code": failure.code, "message": failure.message}
            more = {} if failure.answer is None else {"answer": failure.answer}
            failed.append({**self._row(failure.prompt, failure.prompt.text), "error": {**error, **more}})
        if failed:
            _write(self.failed, failed)
        else:
            self.failed.unlink(missing_ok=True)

    def _row(self, prompt: Prompt, text: str) -> dict[str, Any]:
        folder = self.path.parent.resolve()
        # the name of a link is kept, its folder is not: `..` of a path through one leads elsewhere
        references = [os.path.relpath(path.parent.resolve() / path.name, folder) for path in prompt.references]
        return {"id": prompt.key, "prompt": text, "references": references}


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    write_atomically(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
