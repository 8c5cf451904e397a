import pytest

from identity_reward_client.messages import GroupResponse
from tests.examples.scripts import GROUPS, load_script


def response(*rewards: float | None) -> GroupResponse:
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


def test_demo_fails_on_a_wrong_order_and_on_a_clip_without_reward():
    demo = load_script("demo")
    group = GROUPS[1]
    demo.check_all_scored(group, response(0.7, 0.8, 0.5, 0.4, 0.1))
    demo.check_order(group, response(0.7, 0.8, 0.5, 0.4, 0.1))
    with pytest.raises(demo.DemoFailed, match=r"one_person\.mp4.* got 0\.500, not more than .*switched\.mp4"):
        demo.check_order(group, response(0.5, 0.8, 0.5, 0.4, 0.1))
    with pytest.raises(demo.DemoFailed, match=r"switched\.mp4 has no reward: broken"):
        demo.check_all_scored(group, response(0.7, 0.8, None, 0.4, 0.1))
