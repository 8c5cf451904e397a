"""The engine with decode workers: crashes fail one item, and every model gets the images that its rule asks for."""

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
from tests.support.waiting import until


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


def rotated_png() -> bytes:
    """8 wide, 4 high as stored, with an EXIF rotation by 90 degrees."""
    exif = Pillow.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Pillow.new("RGB", (8, 4), "red").save(file, "PNG", exif=exif)
    return file.getvalue()


@pytest.fixture(autouse=True)
def other_workers(monkeypatch):
    """Excludes the workers of engines that other tests keep."""
    monkeypatch.setattr(sys.modules[__name__], "_OTHERS", {process.pid for process in workers()})


_OTHERS: set[int] = set()


def workers() -> list[psutil.Process]:
    children = [process for process in psutil.Process().children() if process.pid not in _OTHERS]
    alive = [process for process in children if process.status() != psutil.STATUS_ZOMBIE]
    return [process for process in alive if "reward_model.decoding.worker" in " ".join(process.cmdline())]


def request(reference, *values: int) -> GroupRequest:
    return GroupRequest(references=[reference()], videos=[Video(data=mp4(value)) for value in values])


async def test_a_group_of_files_is_decoded_by_the_workers(make_engine, reference):
    engine = make_engine(decode_workers=2)
    assert len(workers()) == 2
    response = await engine.score_group(request(reference, 10, 60, 110, 160, 210))
    assert [item.reward * 255 for item in response.items] == pytest.approx([10, 60, 110, 160, 210], abs=2)
    await engine.close()
    assert workers() == []


async def test_a_worker_that_dies_fails_one_item_of_the_group(make_engine, reference):
    engine = make_engine(decode_workers=1, decode_threads=1)
    hung = workers()[0]
    hung.send_signal(signal.SIGSTOP)
    scoring = asyncio.create_task(engine.score_group(request(reference, 10, 60, 110)))
    await until(lambda: not engine._decoder._idle)
    os.kill(hung.pid, signal.SIGKILL)
    first, *rest = (await scoring).items
    assert first.error.code == "invalid_media"
    assert "its decoder died of signal 9" in first.error.message
    assert [item.reward * 255 for item in rest] == pytest.approx([60, 110], abs=2)


async def test_a_decode_timeout_names_the_setting(make_engine, reference):
    engine = make_engine(decode_workers=1, decode_timeout_s=0.5)
    workers()[0].send_signal(signal.SIGSTOP)
    with pytest.raises(LimitExceeded, match=r"takes over 0.5 s to decode") as caught:
        await engine.score(ScoreRequest(references=[reference()], video=Video(data=mp4(10))))
    assert caught.value.details["limit"] == "decode_timeout_s"
    assert (await engine.score(ScoreRequest(references=[reference()], video=Video(data=mp4(10))))).reward > 0


@pytest.mark.parametrize("rule", ["upright", "as-stored"])
async def test_the_image_rule_applies_to_sent_and_stored_references(make_engine, scorer, video, rule, monkeypatch):
    seen = []
    monkeypatch.setattr(type(scorer), "preprocess", lambda _, sample: seen.append(sample.references.images[0].shape))
    monkeypatch.setattr(type(scorer), "forward", lambda _, batch: [0.5] * len(batch))
    engine = make_engine(decode_workers=1, result_cache_entries=0)
    model = engine._models.find(None)
    model.scorer.info = replace(
        model.scorer.info, frame_sampling=replace(model.scorer.info.frame_sampling, reference_files=rule)
    )
    rotated = Image(data=rotated_png())
    stored = await engine.put_references(ReferenceSet(images=[rotated]))
    for references in ([rotated], stored.id):
        await engine.score(ScoreRequest(references=references, video=video(3)))
    assert seen == [(8, 4, 3) if rule == "upright" else (4, 8, 3)] * 2


async def test_stored_references_fail_with_typed_errors(engine):
    with pytest.raises(InvalidMedia, match="reference 0"):
        await engine.put_references(ReferenceSet(images=[Image(data=b"rubbish")]))


async def test_an_engine_whose_workers_can_not_start_raises(monkeypatch):
    monkeypatch.setattr("reward_model.decoding.process._MAIN", "raise SystemExit(3)")
    with pytest.raises(ScoringFailed, match="a decode worker did not start: it ended with code 3"):
        ScoringEngine(flat_settings(models=("brightness",))).start()
