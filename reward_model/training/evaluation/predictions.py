"""A scorer over preference pairs: every distinct video once, and a file that keeps what was scored."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

import numpy as np

from identity_reward_client.errors import DeviceLost, RewardError
from reward_model.data.progress import Progress, unseen
from reward_model.data.records import PreferencePair, resolve
from reward_model.scorer import Scorer
from reward_model.types import ReferenceSet, Sample

from ..errors import TrainingError
from ..preferences.dataset import read_ahead
from ..preferences.media import read_references, read_video

# what may be another time: no verdict about the video
_PASSING = "scoring_failed"


@dataclass(frozen=True)
class Scored:
    """The reward of a video, or the code and message of why it has none."""

    reward: float | None
    code: str = ""
    message: str = ""


@dataclass(frozen=True)
class Prediction:
    pair_id: str
    a: Scored
    b: Scored

    @property
    def difference(self) -> float | None:
        """r_A - r_B; None where one of them couldn't be scored."""
        if self.a.reward is None or self.b.reward is None:
            return None
        return self.a.reward - self.b.reward

    @property
    def code(self) -> str:
        """Why there is no difference."""
        return self.a.code or self.b.code


@dataclass(frozen=True)
class _Video:
    references: tuple[str, ...]
    prompt: str | None
    path: str
    fps: float | None


def predict(
    scorer: Scorer,
    jsonl: Path,
    pairs: Sequence[PreferencePair],
    file: Path | None = None,
    *,
    batch: int = 16,
    workers: int = 2,
    progress: Progress = unseen,
) -> list[Prediction]:
    """In the order of `pairs`. What can't be scored carries its error; a lost device ends all of it.

    `file`: JSONL to which a line is added as soon as both videos of a pair are known; what it holds of this model
    (by fingerprint and dtype) and of these videos (by the content of their files and references) isn't scored again.
    """
    videos = [_videos(pair, scorer.info.prompt_used) for pair in pairs]
    known: dict[_Video, Scored] = {}
    written = set()
    contents: list[str] = []
    if file is not None:
        rows = _read_rows(file, scorer.info.fingerprint, scorer.info.dtype)
        digests: dict[str, str] = {}
        contents = [_content(jsonl, two, digests) for two in videos]
        for pair, two, content in zip(pairs, videos, contents, strict=True):
            row = rows.get((pair.pair_id, content))
            if row is not None:
                written.add(pair.pair_id)
                known |= {video: Scored(**row[which]) for video, which in zip(two, "ab", strict=True)}
    # those of one set of references stand together: a scorer shares what it computes for them
    groups: dict[tuple, list[_Video]] = defaultdict(list)
    for video in dict.fromkeys(one for two in videos for one in two if one not in known):
        groups[video.references, video.prompt].append(video)
    todo = [video for group in groups.values() for video in group]
    batches = [todo[start : start + batch] for start in range(0, len(todo), batch)]
    with progress(f"{scorer.info.name}: {jsonl.name}", len(todo)) as steps:
        for samples in read_ahead(((scorer, jsonl, one) for one in batches), _prepare, workers, workers):
            known |= _score(scorer, samples)
            if file is not None:
                written |= _append(file, scorer, pairs, videos, contents, known, written)
            steps.advance(len(samples))
    return [Prediction(pair.pair_id, known[a], known[b]) for pair, (a, b) in zip(pairs, videos, strict=True)]


def differences_of(predictions: Sequence[Prediction]) -> np.ndarray:
    """float64 [N] of r_A - r_B, NaN where there is none: to be masked before anything is computed of it."""
    return np.array([np.nan if (d := one.difference) is None else d for one in predictions])


def _videos(pair: PreferencePair, prompt_used: bool) -> tuple[_Video, _Video]:
    references = tuple(reference.path for reference in pair.references)
    prompt = pair.prompt if prompt_used else None
    return _Video(references, prompt, pair.video_a, pair.fps), _Video(references, prompt, pair.video_b, pair.fps)


def _prepare(scorer: Scorer, jsonl: Path, videos: Sequence[_Video]) -> list[tuple[_Video, Any]]:
    """Each video with what the scorer's forward takes, or with its error."""
    pictures: dict[tuple[str, ...], ReferenceSet | RewardError] = {}
    prepared: list[tuple[_Video, Any]] = []
    sampling = scorer.info.frame_sampling
    for video in videos:
        try:
            if video.references not in pictures:
                try:
                    paths = [resolve(jsonl, path) for path in video.references]
                    pictures[video.references] = read_references(paths, sampling)
                except RewardError as error:
                    pictures[video.references] = error
            if isinstance(found := pictures[video.references], RewardError):
                raise found
            frames = read_video(resolve(jsonl, video.path), sampling, video.fps)
            prepared.append((video, scorer.preprocess(Sample(found, frames, video.prompt))))
        except RewardError as error:
            prepared.append((video, error))
        except OSError as error:
            raise TrainingError(f"{jsonl}: {error}") from None
    return prepared


def _score(scorer: Scorer, samples: Sequence[tuple[_Video, Any]]) -> dict[_Video, Scored]:
    found = {video: _error(sample) for video, sample in samples if isinstance(sample, RewardError)}
    whole = [(video, sample) for video, sample in samples if video not in found]
    try:
        raws = list(scorer.forward([sample for _, sample in whole])) if whole else []
    except DeviceLost:
        raise
    except RewardError as error:
        if len(whole) == 1:
            return found | {whole[0][0]: _error(error)}
        for one in whole:
            found |= _score(scorer, [one])
        return found
    for (video, _), raw in zip(whole, raws, strict=True):
        try:
            found[video] = Scored(float(scorer.postprocess(raw).reward))
        except RewardError as error:
            found[video] = _error(error)
    return found


def _error(error: RewardError) -> Scored:
    return Scored(None, error.code, error.message)


def _content(jsonl: Path, two: tuple[_Video, _Video], digests: dict[str, str]) -> str:
    """The same for the same bytes of videos and references, prompt and rate. `digests`: of the files so far."""

    def digest(path: str) -> str:
        if path not in digests:
            try:
                with resolve(jsonl, path).open("rb") as opened:
                    digests[path] = file_digest(opened, "sha256").hexdigest()
            except OSError as error:
                raise TrainingError(f"{jsonl}: {error}") from None
        return digests[path]

    told = [(*map(digest, (*one.references, one.path)), one.prompt, one.fps) for one in two]
    return sha256(repr(told).encode()).hexdigest()[:16]


def _append(file: Path, scorer: Scorer, pairs, videos, contents, known, written: set[str]) -> set[str]:
    new = set()
    with file.open("a", encoding="utf-8") as lines:
        for pair, two, content in zip(pairs, videos, contents, strict=True):
            if pair.pair_id not in written and all(video in known for video in two):
                row = {
                    "model": scorer.info.name, "version": scorer.info.version, "fingerprint": scorer.info.fingerprint,
                    "dtype": scorer.info.dtype, "pair_id": pair.pair_id, "videos": content,
                    "a": vars(known[two[0]]), "b": vars(known[two[1]]),
                }  # fmt: skip
                lines.write(json.dumps(row) + "\n")
                new.add(pair.pair_id)
    return new


def _read_rows(file: Path, fingerprint: str, dtype: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Of this model, by pair and videos. A line that a kill cut short is taken off the file."""
    if not file.exists():
        return {}
    try:
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        if lines and not lines[-1].endswith("\n"):
            whole = file.with_name(f".{file.name}.writing")
            whole.write_text("".join(lines[:-1]), encoding="utf-8")
            os.replace(whole, file)
            lines.pop()
        rows = list(_parsed(lines))
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise TrainingError(f"{file} is no file of predictions: {error}; give another --predictions") from None
    return {
        (row["pair_id"], row["videos"]): row
        for row in rows
        if (row["fingerprint"], row["dtype"]) == (fingerprint, dtype)
        and _PASSING not in (row["a"]["code"], row["b"]["code"])
    }


def _parsed(lines: Sequence[str]) -> Iterator[dict[str, Any]]:
    for line in lines:
        row = json.loads(line)
        # a KeyError now
        [row[name] for name in ("fingerprint", "dtype", "pair_id", "videos")], row["a"]["code"], row["b"]["code"]
        yield row
