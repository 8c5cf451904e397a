"""Baselines of `face-tracks`: predictions of every `arcface` variant, cached on disk by content."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from functools import cache
from hashlib import sha256
from pathlib import Path

from identity_reward_client.errors import RewardError
from reward_model.data.progress import Progress
from reward_model.data.records import PreferencePair
from reward_model.faces.arcface import SAMPLING, ArcFaceScorer
from reward_model.faces.recognition.matching import VARIANTS
from reward_model.faces.recognition.reader import bundled_reader
from reward_model.scorer import ScorerInfo

from ..evaluation.predictions import Prediction, VideoScore
from .extract import ClipFiles, clips_of, in_processes, read_clip


def arcface_predictions(
    jsonl: Path, pairs: Sequence[PreferencePair], folder: Path, workers: int, progress: Progress
) -> list[tuple[ScorerInfo, list[Prediction]]]:
    """(info, predictions in the order of `pairs`) of each variant; the faces of a clip are read once for all."""
    clips = [clip for pair in pairs for clip in clips_of(jsonl, pair)]
    unique = list(dict.fromkeys(clips))
    rewards: dict[ClipFiles, dict[str, VideoScore]] = {}
    with (
        progress("arcface on clips", len(unique)) as steps,
        closing(in_processes(_score, [(clip, folder) for clip in unique], workers)) as results,
    ):
        for (clip, _), scored in results:
            rewards[clip] = scored
            steps.advance()
    return [
        (
            ArcFaceScorer(bundled_reader(), variant).info,
            [
                Prediction(pair.pair_id, rewards[a][variant], rewards[b][variant])
                for pair, a, b in zip(pairs, clips[::2], clips[1::2], strict=True)
            ],
        )
        for variant in VARIANTS
    ]


@cache
def _scorer() -> ArcFaceScorer:
    """The scorer of a worker process."""
    return ArcFaceScorer(bundled_reader())


def _score(clip: ClipFiles, folder: Path) -> dict[str, VideoScore]:
    """Variant -> reward or error, from the cache or computed."""
    scorer = _scorer()
    content = [sha256(path.read_bytes()).hexdigest() for path in (clip.video, *clip.references)]
    key = sha256(json.dumps([scorer.info.fingerprint, content, clip.fps]).encode()).hexdigest()
    path = folder / key[:2] / f"{key}.json"
    if path.is_file():
        return {variant: VideoScore(**entry) for variant, entry in json.loads(path.read_text()).items()}
    try:
        raw = scorer.forward([scorer.preprocess(read_clip(clip, SAMPLING))])[0]
        values = {variant: VideoScore(value) for variant, value in scorer.postprocess(raw).details["variants"].items()}
    except RewardError as error:
        values = dict.fromkeys(VARIANTS, VideoScore(None, error.code, error.message))
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps({variant: asdict(scored) for variant, scored in values.items()}))
    os.replace(partial, path)
    return values
