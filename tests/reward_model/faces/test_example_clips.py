"""The committed example clips, scored by `arcface` in process."""

import importlib.util
import json
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from identity_reward_client.messages import GroupResponse
from reward_model.types import ReferenceSet, Sample, Video

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
GROUPS = json.loads((EXAMPLES / "examples.json").read_text())["groups"]


def load_script(name: str):
    spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def listed_clips() -> set[str]:
    return {clip["file"] for group in GROUPS for clip in group["clips"]}


def read_frames(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group["name"])
def test_clips_that_keep_their_people_come_above_all_others(scorer, score, group):
    references = ReferenceSet(tuple(np.array(Image.open(EXAMPLES / path)) for path in group["references"]))
    rewards = {True: [], False: []}
    for clip in group["clips"]:
        frames_THWC = read_frames(EXAMPLES / clip["file"])
        assert frames_THWC.shape == (40, 480, 832, 3)
        indices = scorer.info.frame_sampling.indices(len(frames_THWC), 16.0)
        video = Video(frames_THWC[list(indices)], 16.0, len(frames_THWC), indices)
        rewards[clip["right"]].append(score(Sample(references, video)).reward)
    assert min(rewards[True]) > max(rewards[False]) + 0.15


def test_the_manifest_lists_every_file_and_all_are_small():
    listed = {path for group in GROUPS for path in group["references"]}
    listed |= listed_clips()
    files = [path for folder in ("clips", "references") for path in (EXAMPLES / folder).iterdir()]
    assert listed == {path.relative_to(EXAMPLES).as_posix() for path in files}
    assert sum(path.stat().st_size for path in files) < 5 << 20


def test_no_picture_is_both_a_reference_and_in_a_clip():
    make_clips = load_script("make_clips")
    used = []
    original = make_clips.load_image
    make_clips.load_image = lambda person, name: used.append((person, name)) or original(person, name)
    for clip in make_clips.CLIPS.values():
        for t in (0.0, 0.5, 1.0):
            clip(t)
    in_clips = set(used)
    used.clear()
    for person in make_clips.REFERENCES.values():
        make_clips.reference(person)
    assert len(in_clips) >= 9
    assert in_clips.isdisjoint(used)
    assert {clip["file"] for group in GROUPS for clip in group["clips"]} == {
        f"clips/{name}.mp4" for name in make_clips.CLIPS
    }


def answer(*rewards: float | None) -> GroupResponse:
    stamp = {
        "name": "m",
        "version": "1",
        "fingerprint": "f",
        "domain": "d",
        "frame_sampling": "s",
        "prompt_used": False,
    }
    items = [
        {"index": i, "error": {"code": "invalid_media", "message": "broken"}}
        if reward is None
        else {"index": i, "scored": {"reward": reward, "fps": 16, "num_source_frames": 8, "frame_indices": [0]}}
        for i, reward in enumerate(rewards)
    ]
    return GroupResponse.model_validate({"request_id": "r", "model": stamp, "items": items, "theta": 5, "timing": {}})


def test_the_demo_fails_on_a_wrong_order_and_on_a_clip_without_reward():
    demo = load_script("demo")
    group = GROUPS[1]
    demo.check_all_scored(group, answer(0.7, 0.8, 0.5, 0.4))
    demo.check_order(group, answer(0.7, 0.8, 0.5, 0.4))
    with pytest.raises(demo.DemoFailed, match=r"one_person\.mp4.* got 0\.500, not more than .*switched\.mp4"):
        demo.check_order(group, answer(0.5, 0.8, 0.5, 0.4))
    with pytest.raises(demo.DemoFailed, match=r"switched\.mp4 has no reward: broken"):
        demo.check_all_scored(group, answer(0.7, 0.8, None, 0.4))
