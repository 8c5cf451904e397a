"""The JSONL of a scorer's predictions, by model and by the content of the scored files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

from reward_model.data.records import PreferencePair, resolve
from reward_model.scorer import ScorerInfo

from ..errors import TrainingError

# error code of a failure that may not recur; lines with it are scored again
_TRANSIENT = "scoring_failed"


@dataclass(frozen=True)
class VideoScore:
    """The reward of a video, or the code and message of the error in its place."""

    reward: float | None
    code: str = ""
    message: str = ""


@dataclass(frozen=True)
class PairVideo:
    """A video with everything that its reward depends on; paths are as in the record, `prompt` is None where unused."""

    references: tuple[str, ...]
    prompt: str | None
    path: str
    fps: float | None


class PredictionFile:
    """Lines of one model for the pairs of `jsonl`. Raises TrainingError for a file that holds something else."""

    def __init__(
        self,
        path: Path,
        info: ScorerInfo,
        jsonl: Path,
        pairs: Sequence[PreferencePair],
        videos: Sequence[tuple[PairVideo, PairVideo]],
    ):
        self.path, self.info, self._jsonl = path, info, jsonl
        digests: dict[str, str] = {}
        # (pair, its videos, hash of their content)
        self._entries = [(pair, both, self._content(both, digests)) for pair, both in zip(pairs, videos, strict=True)]
        self._written: set[str] = set()

    def read(self) -> dict[PairVideo, VideoScore]:
        """Scores of the videos that the file has for this model. A line that a kill cut short is removed."""
        rows = self._rows()
        scored: dict[PairVideo, VideoScore] = {}
        for pair, both, content in self._entries:
            row = rows.get((pair.pair_id, content))
            if row is not None:
                self._written.add(pair.pair_id)
                scored |= {video: VideoScore(**row[side]) for video, side in zip(both, "ab", strict=True)}
        return scored

    def append(self, scored: Mapping[PairVideo, VideoScore]) -> None:
        """Writes a line for each pair whose videos are both in `scored` and that has none yet."""
        info = self.info
        with self.path.open("a", encoding="utf-8") as lines:
            for pair, both, content in self._entries:
                if pair.pair_id not in self._written and all(video in scored for video in both):
                    row = {
                        "model": info.name, "version": info.version, "fingerprint": info.fingerprint,
                        "dtype": info.dtype, "pair_id": pair.pair_id, "videos": content,
                        "a": vars(scored[both[0]]), "b": vars(scored[both[1]]),
                    }  # fmt: skip
                    lines.write(json.dumps(row) + "\n")
                    self._written.add(pair.pair_id)

    def _content(self, both: tuple[PairVideo, PairVideo], digests: dict[str, str]) -> str:
        """Hash of the bytes of videos and references, the prompt and the rate. `digests` caches those of files."""

        def digest(path: str) -> str:
            if path not in digests:
                try:
                    with resolve(self._jsonl, path).open("rb") as opened:
                        digests[path] = file_digest(opened, "sha256").hexdigest()
                except OSError as error:
                    raise TrainingError(f"{self._jsonl}: {error}") from None
            return digests[path]

        content = [(*map(digest, (*video.references, video.path)), video.prompt, video.fps) for video in both]
        return sha256(repr(content).encode()).hexdigest()[:16]

    def _rows(self) -> dict[tuple[str, str], dict[str, Any]]:
        """(pair, content) -> line of this model."""
        file = self.path
        if not file.exists():
            return {}
        try:
            lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
            if lines and not lines[-1].endswith("\n"):
                partial = file.with_name(f".{file.name}.writing")
                partial.write_text("".join(lines[:-1]), encoding="utf-8")
                os.replace(partial, file)
                lines.pop()
            rows = list(_parsed(lines))
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise TrainingError(f"{file} is no file of predictions: {error}; give another --predictions") from None
        return {
            (row["pair_id"], row["videos"]): row
            for row in rows
            if (row["fingerprint"], row["dtype"]) == (self.info.fingerprint, self.info.dtype)
            and _TRANSIENT not in (row["a"]["code"], row["b"]["code"])
        }


def _parsed(lines: Sequence[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        row = json.loads(line)
        # raises KeyError for a line of another kind of file
        [row[name] for name in ("fingerprint", "dtype", "pair_id", "videos")], row["a"]["code"], row["b"]["code"]
        yield row
