"""Requests of the load benchmark: groups of a GRPO step.

A group has two reference images of 1024x1024 and 8 clips of 33x240x416, of which 4 frames are sent: 5,000 tokens. No
two groups share references or clips. The model has the weights of `tiny` and the frame sampling of the released model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

from identity_reward_client.frame_sampling import FrameSampling
from identity_reward_client.inputs.media import to_image, to_video
from identity_reward_client.messages import GroupRequest, ReferenceSet
from identity_reward_client.wire import raw_body
from reward_model.checkpoint import save, tensor_entries
from reward_model.config import IDENTITY_GRPO
from reward_model.decoding.media_decoder import InProcessDecoder
from reward_model.faces.arcface import SAMPLING as ARCFACE
from reward_model.qwen import tiny
from reward_model.scorer import Scorer
from reward_model.types import ReferenceSet as References
from reward_model.types import Sample, Video

from .clips import FPS, synthetic_clip
from .load_client import Encoded, encode

VIDEOS = 8
EXAMPLES = Path(__file__).parents[2] / "examples"
# settings under which no result, prefix or feature is reused
NO_CACHES = {
    "result_cache_entries": 0,
    "prefix_cache_bytes": 0,
    "feature_cache_bytes": 0,
    "max_reference_store_bytes": 1 << 30,
}


@dataclass(frozen=True)
class LoadGroup:
    """One reference set and its clips."""

    references: list[np.ndarray]  # uint8 [1024, 1024, 3]
    clips: list[np.ndarray]  # uint8 [33, 240, 416, 3]
    sampling: FrameSampling = IDENTITY_GRPO
    fps: float = FPS


def groups(count: int, seed: int = 0) -> list[LoadGroup]:
    """`count` groups of synthetic clips; the clips of a group differ in colour only, which is fast to generate."""
    result = []
    for number in range(count):
        rng = np.random.default_rng(seed * 1000 + number)
        coarse = rng.integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
        images = [image.repeat(32, 0).repeat(32, 1) for image in coarse]
        first = synthetic_clip(seed * 1000 + number)
        result.append(LoadGroup(images, [first ^ np.uint8(9 * v) for v in range(VIDEOS)]))
    return result


def face_groups() -> list[LoadGroup]:
    """Two groups for face models: the example clips of two people, decoded."""
    images = [np.asarray(Image.open(EXAMPLES / f"references/{name}.jpg").convert("RGB")) for name in ("anna", "bea")]
    clips = []
    for name in ("two_people", "two_people_evening", "two_people_one_missing", "two_people_one_replaced"):
        data = (EXAMPLES / f"clips/{name}.mp4").read_bytes()
        with InProcessDecoder().video(data) as file:
            clips.append(file.frames(range(file.probe.num_frames)))
            fps = file.probe.fps
    return [LoadGroup(images, clips[:2], ARCFACE, fps), LoadGroup(images, clips[2:], ARCFACE, fps)]


def write_model(folder: Path) -> Path:
    """Write the checkpoint of the benchmark's model into `folder` and return the folder."""
    tokenizer = tiny.tiny_tokenizer()
    config = tiny.tiny_config(tokenizer)
    model = tiny.tiny_model(config)
    save(
        folder,
        replace(config, name="tiny-w1", frame_sampling=IDENTITY_GRPO),
        tokenizer.to_json(),
        tensor_entries(model.state_dict()),
    )
    return folder


def put_references(url: str, group: LoadGroup) -> str:
    """Upload the references of a group and return the id of the reference set."""
    body = ReferenceSet(images=[to_image(image) for image in group.references])
    response = httpx.put(f"{url}/v1/reference-sets", content=body.model_dump_json(exclude_none=True), timeout=120)
    response.raise_for_status()
    return response.json()["id"]


def encode_group(set_id: str, group: LoadGroup, **headers: str) -> Encoded:
    """The encoded raw-body request of a group whose references are uploaded."""
    videos = [to_video(frames, group.fps, group.sampling) for frames in group.clips]
    body = raw_body.encode(GroupRequest(references=set_id, videos=videos))
    return encode("/v1/groups:raw", raw_body.CONTENT_TYPE, body, len(videos), **headers)


def in_process(scorer: Scorer, group: LoadGroup) -> list[float]:
    """The rewards of a group without the service: preprocessing, one forward pass, postprocessing."""
    references = References(tuple(group.references))
    videos = []
    for frames in group.clips:
        indices = group.sampling.indices(len(frames), group.fps)
        videos.append(Video(frames[list(indices)], group.fps, len(frames), indices))
    prepared = [scorer.preprocess(Sample(references, video)) for video in videos]
    return [scorer.postprocess(raw).reward for raw in scorer.forward(prepared)]
