"""The engine with its decode workers: files end where they belong, and models get the pictures they ask for."""

import asyncio
import io
import os
import signal
import sys
from dataclasses import replace

import av
import numpy as np
import psutil
import pytest
from PIL import Image as Pillow

from identity_reward_client.errors import InvalidMedia, LimitExceeded, ScoringFailed
from identity_reward_client.messages import GroupRequest, Image, ReferenceSet, ScoreRequest, Video
from service.engine.engine import ScoringEngine
from tests.service.flat_settings import flat_settings


def mp4(value: int, size: int = 64) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=8, options={"crf": "1"})
        stream.height, stream.width, stream.pix_fmt = size, size, "yuv420p"
        for _ in range(12):
            frame = av.VideoFrame.from_ndarray(np.full((size, size, 3), value, np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file.getvalue()


def turned_png() -> bytes:
    """8 wide, 4 high as stored; to be shown turned by a quarter."""
    exif = Pillow.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Pillow.new("RGB", (8, 4), "red").save(file, "PNG", exif=exif)
    return file.getvalue()


@pytest.fixture(autouse=True)
def others(monkeypatch):
    """Workers of engines that other tests keep."""
    monkeypatch.setattr(sys.modules[__name__], "_OTHERS", {one.pid for one in workers()})


_OTHERS: set[int] = set()


def workers() -> list[psutil.Process]:
    children = [one for one in psutil.Process().children() if one.pid not in _OTHERS]
    alive = [one for one in children if one.status() != psutil.STATUS_ZOMBIE]
    return [one for one in alive if "reward_model.decoding.worker" in " ".join(one.cmdline())]


def request(picture, *values: int) -> GroupRequest:
    return GroupRequest(references=[picture()], videos=[Video(data=mp4(value)) for value in values])


async def test_a_group_of_files_is_decoded_by_the_workers(make_engine, picture):
    engine = make_engine(decode_workers=2)
    assert len(workers()) == 2
    answer = await engine.score_group(request(picture, 10, 60, 110, 160, 210))
    assert [item.reward * 255 for item in answer.items] == pytest.approx([10, 60, 110, 160, 210], abs=2)
    await engine.close()
    assert workers() == []


async def test_a_worker_that_dies_costs_one_item_of_the_group(make_engine, picture):
    engine = make_engine(decode_workers=1, decode_threads=1)
    hung = workers()[0]
    hung.send_signal(signal.SIGSTOP)
    scoring = asyncio.create_task(engine.score_group(request(picture, 10, 60, 110)))
    await asyncio.sleep(0.3)
    os.kill(hung.pid, signal.SIGKILL)
    first, *others = (await scoring).items
    assert first.error.code == "invalid_media"
    assert "its decoder died of signal 9" in first.error.message
    assert [item.reward * 255 for item in others] == pytest.approx([60, 110], abs=2)


async def test_a_file_that_takes_too_long_is_refused_by_the_name_of_the_setting(make_engine, picture):
    engine = make_engine(decode_workers=1, decode_timeout_s=0.5)
    workers()[0].send_signal(signal.SIGSTOP)
    with pytest.raises(LimitExceeded, match=r"takes over 0.5 s to decode") as caught:
        await engine.score(ScoreRequest(references=[picture()], video=Video(data=mp4(10))))
    assert caught.value.details["limit"] == "decode_timeout_s"
    assert (await engine.score(ScoreRequest(references=[picture()], video=Video(data=mp4(10))))).reward > 0


@pytest.mark.parametrize("rule", ["upright", "as-stored"])
async def test_a_models_rule_for_pictures_holds_on_every_way_in(make_engine, scorer, video, rule, monkeypatch):
    seen = []
    monkeypatch.setattr(type(scorer), "preprocess", lambda _, sample: seen.append(sample.references.images[0].shape))
    monkeypatch.setattr(type(scorer), "forward", lambda _, batch: [0.5] * len(batch))
    engine = make_engine(decode_workers=1, result_cache_entries=0)
    model = engine._models.find(None)
    model.scorer.info = replace(
        model.scorer.info, frame_sampling=replace(model.scorer.info.frame_sampling, reference_files=rule)
    )
    picture = Image(data=turned_png())
    stored = await engine.put_references(ReferenceSet(images=[picture]))
    for references in ([picture], stored.id):
        await engine.score(ScoreRequest(references=references, video=video(3)))
    assert seen == [(8, 4, 3) if rule == "upright" else (4, 8, 3)] * 2


async def test_errors_of_stored_references_are_the_wires(engine):
    with pytest.raises(InvalidMedia, match="reference 0"):
        await engine.put_references(ReferenceSet(images=[Image(data=b"rubbish")]))


async def test_an_engine_whose_workers_can_not_start_says_so(monkeypatch):
    monkeypatch.setattr("reward_model.decoding.process._MAIN", "raise SystemExit(3)")
    with pytest.raises(ScoringFailed, match="a decode worker did not start: it ended with code 3"):
        ScoringEngine(flat_settings(models=("brightness",))).start()
