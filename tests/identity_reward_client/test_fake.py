import time

import numpy as np
import pytest

from identity_reward_client import FakeRewardClient, Frames, RewardClient, SyncRewardClient
from identity_reward_client.errors import InvalidRequest, Overloaded, ReferenceSetNotFound, ScoringFailed
from identity_reward_client.fields.warnings import ScoreWarning
from identity_reward_client.messages import CompareResponse, GroupResponse, ScoreResponse


def test_fake_client_is_a_reward_client_with_meaningless_rewards():
    client = FakeRewardClient()
    assert isinstance(client, RewardClient)
    with SyncRewardClient(client) as blocking:
        (info,) = blocking.models()
    assert not info.meaningful


async def test_reward_of_frames_is_their_brightness(clip):
    answer = await FakeRewardClient().score([b"jpg"], clip, fps=16)
    assert answer.reward == pytest.approx(clip[[0, 11, 21, 32]].mean() / 255)


async def test_reward_of_a_file_depends_on_its_bytes():
    client = FakeRewardClient()
    rewards = [(await client.score([b"jpg"], data)).reward for data in (b"one", b"two", b"one")]
    assert rewards[0] == rewards[2] != rewards[1]
    assert all(0 <= reward < 1 for reward in rewards)


async def test_answers_are_valid_on_the_wire(clip):
    client = FakeRewardClient()
    score = await client.score([b"jpg"], clip, fps=16, details=True)
    compare = await client.compare([b"jpg"], clip, b"file", fps=16)
    group = await client.score_group([b"jpg"], [clip, "gone.mp4", clip], fps=16, matrices=True)
    for answer, kind in ((score, ScoreResponse), (compare, CompareResponse), (group, GroupResponse)):
        assert kind.model_validate_json(answer.model_dump_json()) == answer


async def test_items_fail_by_their_index(clip):
    client = FakeRewardClient(fail={1: ScoringFailed("as configured")})
    group = await client.score_group([b"jpg"], [clip, clip, clip], fps=16, matrices=True)
    assert [item.error and item.error.code for item in group.items] == [None, "scoring_failed", None]
    assert group.win[1] == [None, None, None]
    assert group.win[0][1] is None
    with pytest.raises(ScoringFailed, match="as configured"):
        await client.compare([b"jpg"], clip, clip, fps=16)


async def test_items_have_warnings_by_their_index(clip):
    still = ScoreWarning(code="still_video", message="as configured")
    client = FakeRewardClient(warnings={1: [still]})
    group = await client.score_group([b"jpg"], ["gone.mp4", clip, clip], fps=16)
    assert [item.scored and item.scored.warnings for item in group.items] == [None, [still], []]
    pair = await client.compare([b"jpg"], clip, clip, fps=16)
    assert (pair.a.warnings, pair.b.warnings) == ([], [still])
    assert (await client.score([b"jpg"], clip, fps=16)).warnings == []


async def test_calls_fail_by_their_number(clip):
    client = FakeRewardClient(fail_calls={0: Overloaded("busy")})
    with pytest.raises(Overloaded):
        await client.score([b"jpg"], clip, fps=16)
    await client.score([b"jpg"], clip, fps=16)
    assert [call.method for call in client.calls] == ["score", "score"]


async def test_calls_are_recorded(clip):
    client = FakeRewardClient()
    set_id = await client.put_references([b"anna", b"ben"])
    await client.score_group(set_id, [clip], fps=16, prompt="two people")
    (call,) = client.calls
    assert [image.data for image in call.references] == [b"anna", b"ben"]
    assert call.videos[0].frames.shape == [4, 24, 40, 3]
    assert call.prompt == "two people"
    with pytest.raises(ReferenceSetNotFound):
        await client.score("sha256:" + "0" * 64, clip, fps=16)


async def test_latency_and_custom_reward_rule(clip):
    client = FakeRewardClient(latency_s=0.1, reward=lambda references, video, prompt: len(prompt))
    started = time.monotonic()
    answer = await client.score([b"jpg"], Frames(clip, fps=16), prompt="four")
    assert answer.reward == 4
    assert time.monotonic() - started >= 0.1


async def test_reward_rule_that_returns_nan_is_an_error(clip):
    with pytest.raises(Exception, match="nan"):
        await FakeRewardClient(reward=lambda *_: np.nan).score([b"jpg"], clip, fps=16)


async def test_the_same_image_for_two_people_is_refused_as_the_service_does(clip):
    client = FakeRewardClient()
    references = [b"anna", b"ben", b"anna"]
    with pytest.raises(InvalidRequest, match="references 0 and 2 are the same image") as caught:
        await client.score(references, clip, fps=16)
    assert caught.value.details == {"references": [0, 2]}
    with pytest.raises(InvalidRequest, match="references 0 and 2 are the same image"):
        await client.put_references(references)
    assert client.calls == []
