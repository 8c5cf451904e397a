import numpy as np
import pytest

from identity_reward_client.errors import (
    MissingFps,
    NonFiniteReward,
    ScoringFailed,
)
from identity_reward_client.messages import CompareRequest, GroupRequest, ScoreRequest, Video
from identity_reward_client.preference import Preference, matrices, probabilities
from service.scheduling.call import Call
from tests.support.waiting import until


async def test_score_returns_the_reward_and_details_on_request(engine, reference, video):
    response = await engine.score(ScoreRequest(references=[reference()], video=video(51)), Call("mine"))
    assert response.reward == 0.2
    assert (response.request_id, response.model.name, response.frame_indices) == ("mine", "brightness", [0, 2, 3, 5])
    assert response.details is None
    detailed = await engine.score(ScoreRequest(references=[reference()], video=video(51), details=True))
    assert detailed.details == {"brightness": 0.2}
    assert detailed.request_id


async def test_compare_scales_the_difference_by_the_preference_scale_of_the_model(engine, reference, video):
    request = CompareRequest(references=[reference()], video_a=video(51), video_b=video(102), theta=3)
    response = await engine.compare(request)
    expected = [float(p) for p in probabilities(10 * (0.2 - 0.4), 3)]
    assert [response.p_a_wins, response.p_tie, response.p_b_wins] == pytest.approx(expected, abs=1e-12)
    assert response.verdict is Preference.B


async def test_items_of_a_group_fail_one_by_one(engine, reference, video):
    videos = [video(51), video(51, fps=None), video(7), video(99), Video(data=b"rubbish"), video(102)]
    response = await engine.score_group(GroupRequest(references=[reference()], videos=videos, matrices=True))
    assert [item.reward for item in response.items] == [0.2, None, None, None, None, 0.4]
    codes = [item.error.code for item in response.items[1:5]]
    assert codes == ["missing_fps", "non_finite_reward", "scoring_failed", "invalid_media"]
    win, tie = matrices(10 * np.array([0.2, 0.4]))
    assert response.win[0][5] == pytest.approx(win[0, 1])
    assert response.tie[5][0] == pytest.approx(tie[1, 0])
    assert response.win[0][1] is None
    assert response.tie[3][3] is None


async def test_a_group_whose_videos_all_fail_gets_a_response(engine, reference, video):
    response = await engine.score_group(GroupRequest(references=[reference()], videos=[video(51, fps=None)] * 2))
    assert [item.error.code for item in response.items] == ["missing_fps"] * 2


@pytest.mark.parametrize(
    ("value", "error"), [(7, NonFiniteReward), (13, ScoringFailed), (99, ScoringFailed)]
)  # fmt: skip
async def test_the_error_of_a_single_video_is_raised(engine, reference, video, value, error):
    with pytest.raises(error):
        await engine.score(ScoreRequest(references=[reference()], video=video(value)))
    assert (await engine.score(ScoreRequest(references=[reference()], video=video(51)))).reward == 0.2


async def test_compare_names_the_video_that_failed(engine, reference, video):
    with pytest.raises(MissingFps) as caught:
        await engine.compare(CompareRequest(references=[reference()], video_a=video(1), video_b=video(2, fps=None)))
    assert caught.value.details["video"] == "b"


async def test_a_stream_yields_errors_before_scores_and_ends_with_the_response(engine, reference, video):
    scorer = engine._models.find(None).scorer
    scorer.open.clear()
    request = GroupRequest(references=[reference()], videos=[video(51), video(99), video(51), video(5, fps=None)])
    stream = engine.stream_group(request, Call("mine"))
    early = [await anext(stream), await anext(stream)]
    assert {item.index for item in early} == {1, 3}
    scorer.open.set()
    late = [event async for event in stream]
    assert [item.index for item in late[:-1]] == [0, 2]
    assert late[-1].request_id == "mine"
    assert [item.reward for item in late[-1].items] == [0.2, None, 0.2, None]


async def test_a_closed_stream_releases_its_capacity(engine, reference, video):
    model = engine._models.find(None)
    model.scorer.open.clear()
    stream = engine.stream_group(GroupRequest(references=[reference()], videos=[video(51), video(5, fps=None)]))
    assert (await anext(stream)).index == 1
    await stream.aclose()
    await until(lambda: model.admission.tokens == 0)
    model.scorer.open.set()
