import asyncio
import sys
import threading
from dataclasses import replace

import numpy as np
import psutil
import pytest

from identity_reward_client.errors import (
    DeviceLost,
    InternalError,
    ModelNotFound,
    NotReady,
    ScoringFailed,
)
from identity_reward_client.messages import CompareRequest, GroupRequest, ReferenceSet, ScoreRequest, Video
from reward_model.registry import SCORERS
from service.engine.engine import ScoringEngine
from service.scheduling.call import Call
from tests.service.conftest import pixels
from tests.service.flat_settings import flat_settings
from tests.support.waiting import until


async def test_nothing_is_scored_before_start_and_after_close(reference, video):
    engine = ScoringEngine(flat_settings(models=("brightness",)))
    request = ScoreRequest(references=[reference()], video=video(1))
    assert not engine.ready
    with pytest.raises(NotReady):
        await engine.score(request)
    engine.start()
    assert engine.ready
    await engine.close()
    with pytest.raises(NotReady):
        await engine.score(request)


async def test_a_failed_start_leaves_no_thread_and_no_process(monkeypatch):
    monkeypatch.setitem(SCORERS, "broken", "math:sqrt")
    threads, processes = set(threading.enumerate()), set(psutil.Process().children())
    with pytest.raises(InternalError, match="broken"):
        ScoringEngine(flat_settings(models=("brightness", "broken"), decode_workers=1)).start()
    await until(lambda: not set(threading.enumerate()) - threads)
    remaining = set(psutil.Process().children()) - processes
    assert not [process for process in remaining if process.status() != psutil.STATUS_ZOMBIE]


def test_a_model_that_fails_to_load_is_named(monkeypatch):
    monkeypatch.setitem(SCORERS, "broken", "math:sqrt")
    with pytest.raises(InternalError, match=r"model 'broken' can't be loaded on cpu: TypeError"):
        ScoringEngine(flat_settings(models=("broken",))).start()
    with pytest.raises(ModelNotFound, match=r"no model is called 'absent'; there are .*brightness"):
        ScoringEngine(flat_settings(models=("absent",))).start()


async def test_metrics_count_items_and_errors(engine, reference, video):
    await engine.score_group(GroupRequest(references=[reference()], videos=[video(51), video(51, fps=None)]))
    text = engine.metrics.text().decode()
    assert 'identity_reward_items_total{model="brightness",outcome="scored"} 1.0' in text
    assert 'identity_reward_items_total{model="brightness",outcome="failed"} 1.0' in text
    assert 'identity_reward_item_errors_total{code="missing_fps"} 1.0' in text
    assert 'identity_reward_forward_seconds_count{model="brightness"} 1.0' in text


async def test_models_are_listed_by_their_own_names_default_first(monkeypatch, reference, video):
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
    response = await engine.score(ScoreRequest(references=[reference()], video=video(51)))
    assert response.model.name == "second"
    await engine.close()
    with pytest.raises(InternalError, match="two of the served models are called 'first'"):
        ScoringEngine(flat_settings(models=("folder/first", "folder/again"))).start()


async def test_a_request_during_the_end_of_the_engine_is_not_ready(make_engine, reference):
    engine = make_engine()
    frames_THWC = np.full((64, 256, 256, 3), 51, np.uint8)  # large enough for its id to be computed in a thread
    clip = Video(frames=pixels(frames_THWC), fps=8)
    call = asyncio.create_task(engine.score(ScoreRequest(references=[reference()], video=clip)))
    await asyncio.sleep(0)
    await engine.close()
    with pytest.raises(NotReady):
        await call


async def test_a_draining_engine_answers_accepted_requests_and_refuses_new_ones(engine, reference, video):
    scorer = engine._models.find(None).scorer
    scorer.open.clear()
    taken = asyncio.create_task(engine.score(ScoreRequest(references=[reference()], video=video(51))))
    await until(lambda: engine._models.find(None).admission.tokens)
    engine.begin_drain()
    assert not engine.ready
    for refused in (
        engine.score(ScoreRequest(references=[reference()], video=video(51))),
        engine.put_references(ReferenceSet(images=[reference()])),
    ):
        with pytest.raises(NotReady) as caught:
            await refused
        assert caught.value.retry_after_s >= 1
    with pytest.raises(NotReady):
        engine.check_capacity(Call())
    scorer.open.set()
    assert (await taken).reward == 0.2


async def test_a_lost_device_ends_the_engine(reference, video, monkeypatch):
    lost = []
    engine = ScoringEngine(flat_settings(models=("brightness",), decode_workers=0), on_lost=lost.append)
    engine.start()

    def forward(batch):
        raise DeviceLost("cuda:0: an illegal memory access was encountered")

    monkeypatch.setattr(engine._models.find(None).scorer, "forward", forward)
    with pytest.raises(ScoringFailed, match="illegal memory access"):
        await engine.score(ScoreRequest(references=[reference()], video=video(51)))
    assert lost
    assert not engine.ready
    with pytest.raises(NotReady):
        await engine.score(ScoreRequest(references=[reference()], video=video(52)))
    await engine.close()


async def test_metrics_cover_queue_batches_rewards_and_verdicts(engine, reference, video):
    await engine.compare(CompareRequest(references=[reference()], video_a=video(51), video_b=video(51, fps=4)))
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
