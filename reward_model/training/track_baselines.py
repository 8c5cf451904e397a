"""Every `arcface` variant on the pairs that `face-tracks` is measured on, kept by content as features are."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from ..data.records import PreferencePair
from ..faces.arcface import PREFERENCE_SCALE, SAMPLING, ArcFaceScorer, bundled_reader, scorer_name
from ..faces.match import VARIANTS
from .track_extract import Clip, Progress, clips_of, read_clip


def arcface_differences(
    jsonl: Path, pairs: Sequence[PreferencePair], folder: Path, workers: int, progress: Progress
) -> dict[str, np.ndarray]:
    """Name of a variant: [N] preference_scale * (r_A - r_B). Every reference must show a face."""
    clips = [clip for pair in pairs for clip in clips_of(jsonl, pair)]
    unique = list(dict.fromkeys(clips))
    known: dict[Clip, dict[str, float]] = {}
    with (
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
        progress("arcface on clips", len(unique)) as steps,
    ):
        for clip, values in zip(unique, pool.map(_rewards, unique, [folder] * len(unique)), strict=True):
            known[clip] = values
            steps.advance()
    return {
        scorer_name(variant): PREFERENCE_SCALE
        * np.array([known[a][variant] - known[b][variant] for a, b in zip(clips[::2], clips[1::2], strict=True)])
        for variant in VARIANTS
    }


@cache
def _scorer() -> ArcFaceScorer:
    return ArcFaceScorer(bundled_reader())


def _rewards(clip: Clip, folder: Path) -> dict[str, float]:
    scorer = _scorer()
    content = [sha256(path.read_bytes()).hexdigest() for path in (clip.video, *clip.references)]
    key = sha256(json.dumps([scorer.info.fingerprint, content, clip.fps]).encode()).hexdigest()
    path = folder / key[:2] / f"{key}.json"
    if path.is_file():
        return json.loads(path.read_text())
    raw = scorer.forward([scorer.preprocess(read_clip(clip, SAMPLING))])[0]
    values = scorer.postprocess(raw).details["variants"]
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_name(f".{path.name}.{os.getpid()}")
    whole.write_text(json.dumps(values))
    os.replace(whole, path)
    return values
