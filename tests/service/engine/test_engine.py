import asyncio
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import psutil
import pytest

import service.engine.preparation
from identity_reward_client.errors import (
    Conflict,
    DeadlineExceeded,
    DeviceLost,
    InternalError,
    InvalidMedia,
    InvalidRequest,
    LimitExceeded,
    MissingFps,
    ModelNotFound,
    NonFiniteReward,
    NotReady,
    Overloaded,
    RateLimited,
    ReferenceSetNotFound,
    ReferenceWithoutFace,
    ScoringFailed,
    VideoNotFound,
)
from identity_reward_client.messages import CompareRequest, GroupRequest, Image, ReferenceSet, ScoreRequest, Video
from identity_reward_client.preference import Preference, matrices, probabilities
from reward_model.registry import SCORERS
from service.engine.engine import ScoringEngine
from service.scheduling.call import Call
from tests.service.conftest import pixels
from tests.service.flat_settings import flat_settings


async def test_score(engine, picture, video):
    answer = await engine.score(ScoreRequest(references=[picture()], video=video(51)), Call("mine"))
    assert answer.reward == 0.2
    assert (answer.request_id, answer.model.name, answer.frame_indices) == ("mine", "brightness", [0, 2, 3, 5])
    assert answer.details is None
    detailed = await engine.score(ScoreRequest(references=[picture()], video=video(51), details=True))
    assert detailed.details == {"brightness": 0.2}
    assert detailed.request_id


async def test_compare_scales_the_difference_by_the_models_preference_scale(engine, picture, video):
    request = CompareRequest(references=[picture()], video_a=video(51), video_b=video(102), theta=3)
    answer = await engine.compare(request)
    expected = [float(p) for p in probabilities(10 * (0.2 - 0.4), 3)]
    assert [answer.p_a_wins, answer.p_tie, answer.p_b_wins] == pytest.approx(expected, abs=1e-12)
    assert answer.verdict is Preference.B


async def test_items_fail_one_by_one(engine, picture, video):
    videos = [video(51), video(51, fps=None), video(7), video(99), Video(data=b"rubbish"), video(102)]
    answer = await engine.score_group(GroupRequest(references=[picture()], videos=videos, matrices=True))
    assert [item.reward for item in answer.items] == [0.2, None, None, None, None, 0.4]
    codes = [item.error.code for item in answer.items[1:5]]
    assert codes == ["missing_fps", "non_finite_reward", "scoring_failed", "invalid_media"]
    win, tie = matrices(10 * np.array([0.2, 0.4]))
    assert answer.win[0][5] == pytest.approx(win[0, 1])
    assert answer.tie[5][0] == pytest.approx(tie[1, 0])
    assert answer.win[0][1] is None
    assert answer.tie[3][3] is None


async def test_a_group_of_nothing_but_failures_is_still_answered(engine, picture, video):
    answer = await engine.score_group(GroupRequest(references=[picture()], videos=[video(51, fps=None)] * 2))
    assert [item.error.code for item in answer.items] == ["missing_fps"] * 2


@pytest.mark.parametrize(
    ("value", "error"), [(7, NonFiniteReward), (13, ScoringFailed), (99, ScoringFailed)]
)  # fmt: skip
async def test_the_error_of_a_single_video_is_raised(engine, picture, video, value, error):
    with pytest.raises(error):
        await engine.score(ScoreRequest(references=[picture()], video=video(value)))
    assert (await engine.score(ScoreRequest(references=[picture()], video=video(51)))).reward == 0.2


async def test_compare_says_which_video_failed(engine, picture, video):
    with pytest.raises(MissingFps) as caught:
        await engine.compare(CompareRequest(references=[picture()], video_a=video(1), video_b=video(2, fps=None)))
    assert caught.value.details["video"] == "b"


async def test_an_error_about_the_references_fails_the_request(engine, picture, video):
    with pytest.raises(ReferenceWithoutFace) as caught:
        await engine.score_group(GroupRequest(references=[picture(0)], videos=[video(1), video(2)]))
    assert caught.value.details == {"reference": 0}
    with pytest.raises(InvalidMedia, match="reference 1"):
        await engine.score(ScoreRequest(references=[picture(), Image(data=b"x")], video=video(1)))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"references": 4}, LimitExceeded),
        ({"videos": 5}, LimitExceeded),
        ({"prompt": "x" * 100}, LimitExceeded),
        ({"model": "arcface"}, ModelNotFound),
        ({"theta": 1e9}, InvalidRequest),
    ],
)
async def test_limits_of_the_request(make_engine, picture, video, change, error):
    engine = make_engine(max_group_videos=4, max_prompt_chars=99)
    fields = {"prompt": None, "theta": 5.0, "model": None, "references": 1, "videos": 1} | change
    fields["references"] = [picture()] * fields["references"]
    fields["videos"] = [video(51)] * fields["videos"]
    with pytest.raises(error):
        await engine.score_group(GroupRequest(**fields))


async def test_equal_videos_of_a_request_are_decoded_and_scored_once(engine, picture, video, monkeypatch):
    decoded = []
    true_decode = service.engine.preparation.decode_video
    monkeypatch.setattr(
        service.engine.preparation, "decode_video", lambda one, *rest: decoded.append(one) or true_decode(one, *rest)
    )
    videos = [video(51), video(102), video(51), video(51, fps=4)]
    answer = await engine.score_group(GroupRequest(references=[picture()], videos=videos))
    assert len(decoded) == 3
    assert [item.reward for item in answer.items] == [0.2, 0.4, 0.2, 0.2]
    assert [item.scored.fps for item in answer.items] == [8, 8, 8, 4]


async def test_stored_references_stand_for_the_pictures(engine, picture, video):
    stored = await engine.put_references(ReferenceSet(images=[picture(), picture(9)]))
    assert stored.num_references == 2
    assert (await engine.score(ScoreRequest(references=stored.id, video=video(51)))).reward == 0.2
    with pytest.raises(ReferenceSetNotFound):
        await engine.score(ScoreRequest(references="sha256:" + "0" * 64, video=video(51)))


async def test_a_stored_set_may_be_too_large_for_a_model(engine, picture, video):
    stored = await engine.put_references(ReferenceSet(images=[picture(i) for i in range(1, 5)]))
    with pytest.raises(LimitExceeded, match="4 references; at most 3"):
        await engine.score(ScoreRequest(references=stored.id, video=video(51)))


async def test_overload_is_said_before_anything_is_decoded(make_engine, picture, video, monkeypatch):
    engine = make_engine(max_group_videos=2, max_waiting_tokens=2)
    admission = engine._models.find(None).admission
    monkeypatch.setattr(service.engine.preparation, "decode_video", lambda *_: pytest.fail("decoded"))
    with admission.admit(Call(), 2):
        with pytest.raises(Overloaded) as caught:
            await engine.score(ScoreRequest(references=[picture()], video=video(1)))
        with pytest.raises(Overloaded):
            engine.check_capacity(Call())
    assert caught.value.retry_after_s >= 1
    assert admission.tokens == 0
    engine.check_capacity(Call())


async def test_concurrent_requests_share_batches_and_get_their_own_answers(engine, picture, video):
    requests = [ScoreRequest(references=[picture()], video=video(value)) for value in range(20, 60)]
    answers = await asyncio.gather(*(engine.score(request) for request in requests))
    assert [answer.reward for answer in answers] == [value / 255 for value in range(20, 60)]


async def test_a_cancelled_request_gives_its_room_back(engine, picture, video):
    scorer, admission = engine._models.find(None).scorer, engine._models.find(None).admission
    scorer.open.clear()
    tasks = [
        asyncio.create_task(engine.score(ScoreRequest(references=[picture()], video=video(value)))) for value in (1, 2)
    ]
    while admission.tokens < 2:  # noqa: ASYNC110 - the count is another thread's
        await asyncio.sleep(0.01)
    tasks[1].cancel()
    await asyncio.gather(tasks[1], return_exceptions=True)
    assert admission.tokens == 1
    scorer.open.set()
    assert (await tasks[0]).reward == 1 / 255


async def test_before_start_and_after_close_nothing_is_scored(picture, video):
    engine = ScoringEngine(flat_settings(models=("brightness",)))
    request = ScoreRequest(references=[picture()], video=video(1))
    assert not engine.ready
    with pytest.raises(NotReady):
        await engine.score(request)
    engine.start()
    assert engine.ready
    await engine.close()
    with pytest.raises(NotReady):
        await engine.score(request)


def test_a_start_that_fails_leaves_no_thread_and_no_process(monkeypatch):
    monkeypatch.setitem(SCORERS, "broken", "math:sqrt")
    threads, processes = set(threading.enumerate()), set(psutil.Process().children())
    with pytest.raises(InternalError, match="broken"):
        ScoringEngine(flat_settings(models=("brightness", "broken"), decode_workers=1)).start()
    deadline = time.monotonic() + 5
    while set(threading.enumerate()) - threads and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not set(threading.enumerate()) - threads
    left = set(psutil.Process().children()) - processes
    assert not [one for one in left if one.status() != psutil.STATUS_ZOMBIE]


def test_a_model_that_fails_to_load_is_named(monkeypatch):
    monkeypatch.setitem(SCORERS, "broken", "math:sqrt")
    with pytest.raises(InternalError, match=r"model 'broken' can't be loaded on cpu: TypeError"):
        ScoringEngine(flat_settings(models=("broken",))).start()
    with pytest.raises(ModelNotFound, match=r"no model is called 'absent'; there are .*brightness"):
        ScoringEngine(flat_settings(models=("absent",))).start()


async def test_metrics_count_items_and_errors(engine, picture, video):
    await engine.score_group(GroupRequest(references=[picture()], videos=[video(51), video(51, fps=None)]))
    text = engine.metrics.text().decode()
    assert 'identity_reward_items_total{model="brightness",outcome="scored"} 1.0' in text
    assert 'identity_reward_items_total{model="brightness",outcome="failed"} 1.0' in text
    assert 'identity_reward_item_errors_total{code="missing_fps"} 1.0' in text
    assert 'identity_reward_forward_seconds_count{model="brightness"} 1.0' in text


async def test_models_go_by_their_own_names_the_default_first(monkeypatch, picture, video):
    def named(name):
        def load(device):
            scorer = registered.load(device)
            scorer.info = replace(scorer.info, name=name)
            return scorer

        return load

    registered = sys.modules["brightness_for_tests"]
    for name in ("first", "second", "again"):
        monkeypatch.setattr(registered, name, named(name.replace("again", "first")), raising=False)
        monkeypatch.setitem(SCORERS, f"folder/{name}", f"brightness_for_tests:{name}")
    engine = ScoringEngine(flat_settings(models=("folder/first", "folder/second"), default_model="folder/second"))
    engine.start()
    assert [(info.name, info.default) for info in engine.models()] == [("second", True), ("first", False)]
    answer = await engine.score(ScoreRequest(references=[picture()], video=video(51)))
    assert answer.model.name == "second"
    await engine.close()
    with pytest.raises(InternalError, match="two of the served models are called 'first'"):
        ScoringEngine(flat_settings(models=("folder/first", "folder/again"))).start()


async def test_a_video_that_was_scored_is_answered_by_content_and_by_id(engine, picture, video):
    scorer = engine._models.find(None).scorer
    request = GroupRequest(references=[picture()], videos=[video(51), video(102)])
    first = await engine.score_group(request)
    again = await engine.score_group(request)
    assert [item.scored for item in again.items] == [item.scored for item in first.items]
    stored = (await engine.put_references(ReferenceSet(images=[picture()]))).id
    by_id = [Video(id=item.scored.video_id) for item in first.items]
    compared = await engine.compare(CompareRequest(references=stored, video_a=by_id[0], video_b=by_id[1]))
    assert (compared.a.reward, compared.b.reward) == (0.2, 0.4)
    detailed = await engine.score(ScoreRequest(references=stored, video=by_id[0], details=True))
    assert detailed.details == {"brightness": 0.2}
    assert len(scorer.batches) == 1


async def test_an_id_without_a_result_is_not_found(engine, picture, video):
    answer = await engine.score(ScoreRequest(references=[picture()], video=video(51)))
    for references, name in (([picture(9)], answer.video_id), ([picture()], "sha256:" + "0" * 64)):
        with pytest.raises(VideoNotFound, match="send the video itself"):
            await engine.score(ScoreRequest(references=references, video=Video(id=name)))


async def test_failures_are_never_cached_and_the_cache_can_be_off(make_engine, picture, video):
    engine = make_engine(result_cache_entries=0)
    for _ in range(2):
        answer = await engine.score(ScoreRequest(references=[picture()], video=video(51)))
        assert answer.video_id is None
    assert len(engine._models.find(None).scorer.batches) == 2
    engine = make_engine()
    for _ in range(2):
        with pytest.raises(NonFiniteReward):
            await engine.score(ScoreRequest(references=[picture()], video=video(7)))
    assert len(engine._models.find(None).scorer.batches) == 2


async def test_a_key_runs_once_and_other_content_is_a_conflict(make_engine, picture, video):
    engine = make_engine(result_cache_entries=0)
    request = GroupRequest(references=[picture()], videos=[video(51), video(102)])
    calls = [engine.score_group(request, Call(f"r{n}", idempotency_key="k")) for n in range(3)]
    answers = await asyncio.gather(*calls)
    assert [answer.request_id for answer in answers] == ["r0"] * 3
    assert len(engine._models.find(None).scorer.batches) == 1
    with pytest.raises(Conflict):
        await engine.score_group(request.model_copy(update={"theta": 3.0}), Call(idempotency_key="k"))
    with pytest.raises(Conflict):
        await engine.score(ScoreRequest(references=[picture()], video=video(51)), Call(idempotency_key="k"))
    await engine.score_group(request, Call(client="another", idempotency_key="k"))
    assert len(engine._models.find(None).scorer.batches) == 2


async def test_a_key_stands_for_links_by_their_text(make_engine, picture, video, tmp_path):
    engine = make_engine(path_roots=(str(tmp_path),))
    clip = tmp_path / "clip.mp4"
    request = GroupRequest(references=[picture()], videos=[video(51), Video(path=str(clip))])
    call = Call(idempotency_key="k")
    first = await engine.score_group(request, call)
    assert first.items[1].error.code == "input_refused"
    clip.write_bytes(b"it is there now")
    assert await engine.score_group(request, call) == first
    other = request.model_copy(update={"videos": [video(51), Video(path=str(tmp_path / "other.mp4"))]})
    with pytest.raises(Conflict):
        await engine.score_group(other, call)


async def test_who_joins_a_call_has_its_own_deadline(make_engine, picture, video):
    engine = make_engine(result_cache_entries=0)
    scorer = engine._models.find(None).scorer
    scorer.open.clear()
    held = asyncio.create_task(engine.score(ScoreRequest(references=[picture()], video=video(51))))
    await asyncio.sleep(0.05)
    request = ScoreRequest(references=[picture()], video=video(102))
    calls = [
        asyncio.create_task(engine.score(request, Call(deadline=time.monotonic() + s, idempotency_key="k")))
        for s in (0.1, 20)
    ]
    await asyncio.sleep(0.2)
    scorer.open.set()
    with pytest.raises(DeadlineExceeded):
        await calls[0]
    assert (await calls[1]).reward == pytest.approx(102 / 255)
    await held


async def test_a_request_that_the_end_overtakes_is_told_to_come_back(make_engine, picture):
    engine = make_engine()
    frames_THWC = np.full((64, 256, 256, 3), 51, np.uint8)  # large enough to be hashed in a thread
    clip = Video(frames=pixels(frames_THWC), fps=8)
    call = asyncio.create_task(engine.score(ScoreRequest(references=[picture()], video=clip)))
    await asyncio.sleep(0)
    await engine.close()
    with pytest.raises(NotReady):
        await call


async def test_a_stream_tells_failures_before_scores_and_ends_with_the_answer(engine, picture, video):
    scorer = engine._models.find(None).scorer
    scorer.open.clear()
    request = GroupRequest(references=[picture()], videos=[video(51), video(99), video(51), video(5, fps=None)])
    stream = engine.stream_group(request, Call("mine"))
    early = [await anext(stream), await anext(stream)]
    assert {item.index for item in early} == {1, 3}
    scorer.open.set()
    late = [one async for one in stream]
    assert [item.index for item in late[:-1]] == [0, 2]
    assert late[-1].request_id == "mine"
    assert [item.reward for item in late[-1].items] == [0.2, None, 0.2, None]


async def test_a_stream_that_is_left_gives_its_room_back(engine, picture, video):
    model = engine._models.find(None)
    model.scorer.open.clear()
    stream = engine.stream_group(GroupRequest(references=[picture()], videos=[video(51), video(5, fps=None)]))
    assert (await anext(stream)).index == 1
    await stream.aclose()
    await asyncio.sleep(0.01)
    assert model.admission.tokens == 0
    model.scorer.open.set()


async def test_the_deadline_of_a_call_is_kept(engine, picture, video):
    model = engine._models.find(None)
    with pytest.raises(Overloaded), model.admission.admit(Call(), 1):
        await engine.score(ScoreRequest(references=[picture()], video=video(51)), Call(deadline=time.monotonic() - 1))
    with pytest.raises(DeadlineExceeded):
        await engine.score(ScoreRequest(references=[picture()], video=video(52)), Call(deadline=time.monotonic() - 1))
    assert not model.scorer.batches


async def test_a_draining_engine_answers_what_it_took_and_takes_no_more(engine, picture, video):
    scorer = engine._models.find(None).scorer
    scorer.open.clear()
    taken = asyncio.create_task(engine.score(ScoreRequest(references=[picture()], video=video(51))))
    while not engine._models.find(None).admission.tokens:  # noqa: ASYNC110 - the count is another thread's
        await asyncio.sleep(0.01)
    engine.begin_drain()
    assert not engine.ready
    for refused in (
        engine.score(ScoreRequest(references=[picture()], video=video(51))),
        engine.put_references(ReferenceSet(images=[picture()])),
    ):
        with pytest.raises(NotReady) as caught:
            await refused
        assert caught.value.retry_after_s >= 1
    with pytest.raises(NotReady):
        engine.check_capacity(Call())
    scorer.open.set()
    assert (await taken).reward == 0.2


async def test_rates_hold_for_each_client(make_engine, picture, video):
    engine = make_engine(client_videos_per_s=0.1, client_burst_videos=2)
    request = GroupRequest(references=[picture()], videos=[video(51), video(52)])
    await engine.score_group(request, Call(client="a"))
    with pytest.raises(RateLimited) as caught:
        await engine.score_group(request, Call(client="a"))
    assert caught.value.retry_after_s == 20
    await engine.score_group(request, Call(client="b"))


async def test_a_lost_device_ends_the_engine(picture, video, monkeypatch):
    lost = []
    engine = ScoringEngine(flat_settings(models=("brightness",), decode_workers=0), on_lost=lost.append)
    engine.start()

    def forward(batch):
        raise DeviceLost("cuda:0: an illegal memory access was encountered")

    monkeypatch.setattr(engine._models.find(None).scorer, "forward", forward)
    with pytest.raises(ScoringFailed, match="illegal memory access"):
        await engine.score(ScoreRequest(references=[picture()], video=video(51)))
    assert lost
    assert not engine.ready
    with pytest.raises(NotReady):
        await engine.score(ScoreRequest(references=[picture()], video=video(52)))
    await engine.close()


async def test_metrics_name_queue_batches_rewards_and_verdicts(engine, picture, video):
    await engine.compare(CompareRequest(references=[picture()], video_a=video(51), video_b=video(51, fps=4)))
    text = engine.metrics.text().decode()
    for line in (
        'identity_reward_verdicts_total{model="brightness",verdict="tie"} 1.0',
        'identity_reward_batch_tokens_total{model="brightness"} 2.0',
        'identity_reward_batch_requests_total{model="brightness"} 1.0',
        'identity_reward_batch_fill_ratio_count{model="brightness"} 1.0',
        'identity_reward_reward_bucket{le="0.25",model="brightness"} 2.0',
        'identity_reward_reward_bucket{le="0.0",model="brightness"} 0.0',
        'identity_reward_waiting_tokens{model="brightness",priority="rollout"} 0.0',
        'identity_reward_waiting_requests{model="brightness"} 0.0',
        "identity_reward_body_bytes 0.0",
        'identity_reward_cache_misses_total{cache="results",model="all"} 2.0',
    ):
        assert line in text
    assert 'identity_reward_drain_tokens_per_second{model="brightness"}' in text


async def test_the_same_reference_twice_is_refused_by_every_call(engine, picture, video):
    same = [picture(9), picture(9)]
    for call in (
        engine.score(ScoreRequest(references=same, video=video(51))),
        engine.score_group(GroupRequest(references=same, videos=[video(51), video(52)])),
        engine.compare(CompareRequest(references=same, video_a=video(51), video_b=video(52))),
        engine.put_references(ReferenceSet(images=same)),
    ):
        with pytest.raises(InvalidRequest, match="references 0 and 1 are the same image"):
            await call
