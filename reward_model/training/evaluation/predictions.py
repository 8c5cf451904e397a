"""Predictions of a scorer on preference pairs: every distinct video is scored once, and a JSONL keeps the results."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from identity_reward_client.errors import DeviceLost, RewardError
from reward_model.data.progress import Progress, unseen
from reward_model.data.records import PreferencePair, resolve
from reward_model.scorer import Scorer
from reward_model.types import ReferenceSet, Sample

from ..data.media import read_references, read_video
from ..data.prefetch import prefetch
from ..errors import TrainingError
from .prediction_file import PairVideo, PredictionFile, VideoScore


@dataclass(frozen=True)
class Prediction:
    """Scores of both videos of a pair."""

    pair_id: str
    a: VideoScore
    b: VideoScore

    @property
    def difference(self) -> float | None:
        """r_A - r_B; None where one of them was not scored."""
        if self.a.reward is None or self.b.reward is None:
            return None
        return self.a.reward - self.b.reward

    @property
    def code(self) -> str:
        """Error code of a pair without a difference, else empty."""
        return self.a.code or self.b.code


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
    """Predictions in the order of `pairs`. A video that cannot be scored has its error; DeviceLost is raised.

    `file` is a JSONL to which a line is appended as soon as both videos of a pair are scored. Its lines of this model
    (by fingerprint and dtype) and of these videos (by the content of their files and references) are not scored again.
    """
    videos = [_videos(pair, scorer.info.prompt_used) for pair in pairs]
    cache = PredictionFile(file, scorer.info, jsonl, pairs, videos) if file is not None else None
    scored: dict[PairVideo, VideoScore] = dict(cache.read()) if cache is not None else {}
    # videos of one set of references are adjacent: a scorer computes shared parts once
    groups: dict[tuple[tuple[str, ...], str | None], list[PairVideo]] = defaultdict(list)
    for video in dict.fromkeys(video for both in videos for video in both if video not in scored):
        groups[video.references, video.prompt].append(video)
    pending = [video for group in groups.values() for video in group]
    batches = [pending[start : start + batch] for start in range(0, len(pending), batch)]
    with progress(f"{scorer.info.name}: {jsonl.name}", len(pending)) as steps:
        for samples in prefetch(((scorer, jsonl, part) for part in batches), _prepare, workers, workers):
            scored |= _score(scorer, samples)
            if cache is not None:
                cache.append(scored)
            steps.advance(len(samples))
    return [Prediction(pair.pair_id, scored[a], scored[b]) for pair, (a, b) in zip(pairs, videos, strict=True)]


def differences_of(predictions: Sequence[Prediction]) -> np.ndarray:
    """float64 [N], r_A - r_B; NaN where a video was not scored, to be masked before anything is computed of it."""
    return np.array([np.nan if (d := prediction.difference) is None else d for prediction in predictions])


def _videos(pair: PreferencePair, prompt_used: bool) -> tuple[PairVideo, PairVideo]:
    references = tuple(reference.path for reference in pair.references)
    prompt = pair.prompt if prompt_used else None
    return (
        PairVideo(references, prompt, pair.video_a, pair.fps),
        PairVideo(references, prompt, pair.video_b, pair.fps),
    )


def _prepare(scorer: Scorer, jsonl: Path, videos: Sequence[PairVideo]) -> list[tuple[PairVideo, Any]]:
    """Each video with its preprocessed sample, or with its RewardError."""
    references: dict[tuple[str, ...], ReferenceSet | RewardError] = {}
    prepared: list[tuple[PairVideo, Any]] = []
    sampling = scorer.info.frame_sampling
    for video in videos:
        try:
            if video.references not in references:
                try:
                    paths = [resolve(jsonl, path) for path in video.references]
                    references[video.references] = read_references(paths, sampling)
                except RewardError as error:
                    references[video.references] = error
            if isinstance(images := references[video.references], RewardError):
                raise images
            frames = read_video(resolve(jsonl, video.path), sampling, video.fps)
            prepared.append((video, scorer.preprocess(Sample(images, frames, video.prompt))))
        except RewardError as error:
            prepared.append((video, error))
        except OSError as error:
            raise TrainingError(f"{jsonl}: {error}") from None
    return prepared


def _score(scorer: Scorer, samples: Sequence[tuple[PairVideo, Any]]) -> dict[PairVideo, VideoScore]:
    """Scores a batch; where its forward pass fails, each sample alone."""
    scored = {video: _failed(sample) for video, sample in samples if isinstance(sample, RewardError)}
    valid = [(video, sample) for video, sample in samples if video not in scored]
    try:
        outputs = list(scorer.forward([sample for _, sample in valid])) if valid else []
    except DeviceLost:
        raise
    except RewardError as error:
        if len(valid) == 1:
            return scored | {valid[0][0]: _failed(error)}
        for entry in valid:
            scored |= _score(scorer, [entry])
        return scored
    for (video, _), output in zip(valid, outputs, strict=True):
        try:
            scored[video] = VideoScore(float(scorer.postprocess(output).reward))
        except RewardError as error:
            scored[video] = _failed(error)
    return scored


def _failed(error: RewardError) -> VideoScore:
    return VideoScore(None, error.code, error.message)
