"""HttpRewardClient against a real socket."""

import asyncio
import json
import math
import time

import numpy as np
import pytest
from starlette.responses import Response

from identity_reward_client import preference
from identity_reward_client.base import RewardClient
from identity_reward_client.errors import (
    ConnectionFailed,
    DeadlineExceeded,
    FrameIndexMismatch,
    InternalError,
    InvalidMedia,
    InvalidRequest,
    InvalidResponse,
    MissingFps,
    ModelNotFound,
    Overloaded,
    ReferenceSetNotFound,
    RewardError,
)
from identity_reward_client.frame_sampling import FrameSampling
from identity_reward_client.inputs.media import to_references
from identity_reward_client.inputs.tensors import Frames, from_pixels
from identity_reward_client.sync import SyncRewardClient
from identity_reward_client.transports.http import HttpRewardClient
from identity_reward_client.transports.retry import RetryPolicy
from identity_reward_client.wire import raw_body
from identity_reward_client.wire.content_ids import reference_set_id

QUICK = RetryPolicy(base_s=0.01, max_delay_s=0.02)


@pytest.fixture
async def client(wire):
    client = HttpRewardClient(wire.url, retry=QUICK)
    yield client
    await client.close()


def refs(files):
    return [files / "a.jpg", files / "b.jpg"]


def test_it_is_a_reward_client(wire):
    assert isinstance(HttpRewardClient(wire.url), RewardClient)


async def test_files_travel_whole_as_json(client, wire, files):
    answer = await client.score(refs(files), files / "one.mp4", prompt="two people", details=True)
    assert wire.paths() == ["/v1/score"]
    sent = json.loads(wire.requests[0].body)
    assert sent == {
        "references": [{"data": "Ynl0ZXMgb2YgYS5qcGc="}, {"data": "Ynl0ZXMgb2YgYi5qcGc="}],
        "prompt": "two people",
        "details": True,
        "video": {"data": "Ynl0ZXMgb2Ygb25lLm1wNA=="},
    }
    direct = await wire.fake.score(refs(files), files / "one.mp4")
    assert answer.reward == direct.reward
    assert answer.details == {}


async def test_33_frames_in_memory_travel_as_four_in_a_raw_body(client, wire, clip, picture):
    answer = await client.score([picture, b"jpeg"], clip, fps=16)
    assert wire.paths() == ["/v1/models", "/v1/groups:raw"]
    assert wire.requests[1].headers["content-type"] == raw_body.CONTENT_TYPE
    assert wire.metadata()["video.0"]["shape"] == [4, 24, 40, 3]
    sent = raw_body.decode(wire.requests[1].body)
    np.testing.assert_array_equal(from_pixels(sent.videos[0].frames), clip[[0, 11, 21, 32]])
    assert (answer.num_source_frames, answer.frame_indices, answer.fps) == (33, [0, 11, 21, 32], 16)
    assert answer.reward == pytest.approx((0 + 11 + 21 + 32) / 4 / 255)


async def test_models_are_fetched_once(client, wire, clip, picture):
    for _ in range(3):
        await client.score_group([picture], [clip, clip], fps=16)
    assert wire.paths().count("/v1/models") == 1


async def test_a_group_of_arrays_is_one_raw_request_with_matrices(client, wire, clip, picture):
    answer = await client.score_group([picture], [clip, clip + 100], fps=16, matrices=True, theta=3, prompt="x")
    assert wire.paths() == ["/v1/models", "/v1/groups:raw"]
    rewards = [item.reward for item in answer.items]
    assert rewards[1] - rewards[0] == pytest.approx(100 / 255)
    assert answer.theta == 3
    assert answer.win[1][0] == pytest.approx(float(preference.probabilities(rewards[1] - rewards[0], 3)[0]))


async def test_a_group_of_files_is_json(client, wire, files):
    answer = await client.score_group(refs(files), [files / "one.mp4", files / "two.mp4"])
    assert wire.paths() == ["/v1/groups"]
    assert len({item.reward for item in answer.items}) == 2


async def test_compare(client, wire, clip, picture):
    answer = await client.compare([picture], clip, clip + 200, fps=16, theta=1.5)
    assert wire.paths() == ["/v1/models", "/v1/compare"]
    assert answer.p_a_wins + answer.p_tie + answer.p_b_wins == pytest.approx(1)
    assert answer.verdict == "B"
    assert answer.theta == 1.5


async def test_a_video_that_cannot_be_sent_is_an_item_error_and_the_others_are_scored(client, clip, picture):
    diverged = Frames(np.full((5, 4, 4, 3), math.nan, np.float32), value_range=(0, 1))
    answer = await client.score_group([picture], [clip, diverged, "gone.mp4", clip], fps=16, matrices=True)
    assert [item.index for item in answer.items] == [0, 1, 2, 3]
    assert [item.error and item.error.code for item in answer.items] == [
        None,
        "invalid_request",
        "invalid_request",
        None,
    ]
    assert "NaN" in answer.items[1].error.message
    assert "gone.mp4" in answer.items[2].error.message
    assert answer.win[0][3] == pytest.approx(1 / 6)
    assert answer.win[1] == [None] * 4
    assert [row[2] for row in answer.tie] == [None] * 4


async def test_a_group_of_which_nothing_can_be_sent_raises(client, wire, clip, picture):
    with pytest.raises(MissingFps):
        await client.score_group([picture], [clip, clip])
    with pytest.raises(InvalidRequest, match="at least one"):
        await client.score_group([picture], [])
    assert "/v1/groups:raw" not in wire.paths()


async def test_the_error_of_a_lone_array_is_raised(client, wire, clip, picture):
    wire.fake._fail = {0: InvalidMedia("too dark")}
    with pytest.raises(InvalidMedia, match="too dark"):
        await client.score([picture], clip, fps=16)


async def test_an_error_body_becomes_the_same_class(client, wire, files):
    wire.script.append(InternalError("it broke", details={"stage": "forward"}))
    with pytest.raises(InternalError, match="it broke") as caught:
        await client.score(refs(files), files / "one.mp4")
    assert caught.value.details == {"stage": "forward"}
    assert len(wire.requests) == 1


async def test_overloaded_is_asked_again_after_retry_after(client, wire, files):
    wire.script.extend([Overloaded("busy", retry_after_s=0.3), Overloaded("busy")])
    started = time.monotonic()
    answer = await client.score(refs(files), files / "one.mp4")
    assert time.monotonic() - started >= 0.3
    assert len(wire.requests) == 3
    assert answer.reward == (await wire.fake.score(refs(files), files / "one.mp4")).reward


async def test_overload_that_lasts_is_raised_with_its_retry_after(wire, files):
    client = HttpRewardClient(wire.url, retry=RetryPolicy(max_attempts=2, base_s=0))
    wire.script.extend([Overloaded("busy", retry_after_s=0.01)] * 5)
    with pytest.raises(Overloaded) as caught:
        await client.score(refs(files), files / "one.mp4")
    assert caught.value.retry_after_s == 0.01
    assert len(wire.requests) == 2
    await client.close()


async def test_a_gateways_503_is_asked_again(client, wire, files):
    wire.script.append(Response("<html>bad gateway</html>", 503, media_type="text/html"))
    assert math.isfinite((await client.score(refs(files), files / "one.mp4")).reward)
    assert len(wire.requests) == 2


SCORED = {"fps": 1, "num_source_frames": 1, "frame_indices": [0]}
STAMP = {"name": "x", "version": "1", "fingerprint": "f", "domain": "none", "frame_sampling": "u", "prompt_used": True}
COMMON = {"request_id": "1", "model": STAMP, "timing": {}}
ITEM = {"index": 0, "scored": {"reward": 0.5, **SCORED}}


@pytest.mark.parametrize(
    "answer",
    [
        Response("<html>hello</html>", 200, media_type="text/html"),
        Response("{}", 200, media_type="application/json"),
        Response('{"detail": "Not Found"}', 404, media_type="application/json"),
        Response("", 302, {"Location": "/login"}),
        Response("oops", 500),
        Response(json.dumps({"reward": math.nan, **SCORED, **COMMON}), 200),
        Response(json.dumps({"reward": math.inf, **SCORED, **COMMON}), 200),
        Response(json.dumps({"reward": None, **SCORED, **COMMON}), 200),
    ],
    ids=["HTML", "other JSON", "foreign 404", "redirect", "foreign 500", "NaN", "infinity", "null"],
)
async def test_an_answer_that_is_not_this_apis_is_an_invalid_response(client, wire, files, answer):
    wire.script.append(answer)
    with pytest.raises(InvalidResponse):
        await client.score(refs(files), files / "one.mp4")
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"items": [ITEM]},
        {"items": [ITEM, {**ITEM, "index": 5}]},
        {"items": [ITEM, {"index": 1}]},
        {"items": [ITEM, {**ITEM, "index": 1, "error": {"code": "x", "message": "y"}}]},
        {"items": [ITEM, {"index": 1, "scored": {"reward": math.nan, **SCORED}}]},
        {"items": [ITEM, {**ITEM, "index": 1}], "win": [[0.5]], "tie": [[0.5]]},
    ],
    ids=["too few", "wrong index", "neither", "both", "NaN", "small matrix"],
)
async def test_a_group_answer_that_is_not_whole_is_an_invalid_response(client, wire, files, fields):
    wire.script.append(Response(json.dumps({**COMMON, "theta": 5, **fields}), 200))
    with pytest.raises(InvalidResponse):
        await client.score_group(refs(files), [files / "one.mp4", files / "two.mp4"])


async def test_nothing_listening_says_where_and_how_to_start(unused_tcp_port, files):
    client = HttpRewardClient(f"http://127.0.0.1:{unused_tcp_port}", retry=RetryPolicy(max_attempts=2, base_s=0))
    with pytest.raises(ConnectionFailed, match=f"127.0.0.1:{unused_tcp_port}.*`identity-reward serve`"):
        await client.score(refs(files), files / "one.mp4")
    await client.close()


async def test_a_broken_connection_is_tried_again(wire, files):
    """A listener that hangs up on the first two connections and passes the later ones on to the server."""
    broken = 0

    async def relay(reader, writer):
        while chunk := await reader.read(65536):
            writer.write(chunk)
            await writer.drain()
        writer.close()

    async def accept(reader, writer):
        nonlocal broken
        if broken < 2:
            broken += 1
            await reader.read(10)
            writer.close()
            return
        host, port = wire.url.removeprefix("http://").split(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(relay(reader, far_writer), relay(far_reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    client = HttpRewardClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", retry=QUICK)
    answer = await client.score(refs(files), files / "one.mp4")
    assert math.isfinite(answer.reward)
    assert (broken, len(wire.requests)) == (2, 1)
    await client.close()
    server.close()


async def test_a_connection_that_always_breaks_is_connection_failed():
    async def hang_up(reader, writer):
        await reader.read(10)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    client = HttpRewardClient(url, retry=QUICK)
    with pytest.raises(ConnectionFailed, match="broke"):
        await client.models()
    await client.close()
    server.close()


async def test_no_answer_in_time_is_deadline_exceeded(wire, files):
    wire.delay_s = 5
    client = HttpRewardClient(wire.url, timeout_s=0.2, retry=RetryPolicy(max_attempts=1))
    with pytest.raises(DeadlineExceeded, match=r"0\.2 s"):
        await client.score(refs(files), files / "one.mp4")
    await client.close()


async def test_a_stored_set_stands_for_its_pictures(client, wire, files):
    set_id = await client.put_references(refs(files))
    assert wire.requests[0].method == "PUT"
    answer = await client.score(set_id, files / "one.mp4")
    assert json.loads(wire.requests[1].body)["references"] == set_id
    assert math.isfinite(answer.reward)


async def test_a_set_that_the_server_lost_is_sent_again_once(client, wire, files, clip):
    set_id = await client.put_references(refs(files))
    wire.fake._sets.clear()
    answer = await client.score_group(set_id, [clip], fps=16)
    assert answer.items[0].reward is not None
    assert wire.paths() == [
        "/v1/reference-sets", "/v1/models", "/v1/groups:raw", "/v1/reference-sets", "/v1/groups:raw"
    ]  # fmt: skip


async def test_a_set_that_never_was_is_not_found(client, files):
    with pytest.raises(ReferenceSetNotFound):
        await client.score("sha256:" + "0" * 64, files / "one.mp4")


@pytest.mark.parametrize("options", [{"theta": 0.5}, {"theta": math.nan}, {"prompt": 5}], ids=str)
async def test_impossible_options_are_refused_alike_by_every_client(client, wire, clip, options):
    for one in (client, wire.fake):
        with pytest.raises(InvalidRequest, match=next(iter(options))):
            await one.score_group([b"jpg"], [clip], fps=16, **options)
        with pytest.raises(InvalidRequest, match=next(iter(options))):
            await one.compare([b"jpg"], clip, clip, fps=16, **options)


async def test_an_unknown_model_lists_the_served_ones(client, wire, clip, files):
    with pytest.raises(ModelNotFound, match="served: fake"):
        await client.score([b"jpg"], clip, fps=16, model="nope")
    with pytest.raises(ModelNotFound):
        await client.score([b"jpg"], files / "one.mp4", model="nope")


@pytest.mark.parametrize("whole", [True, False], ids=["whole request", "item"])
async def test_another_frame_sampling_on_the_server_is_noticed(client, wire, clip, whole):
    await client.score_group([b"jpg"], [clip], fps=16)
    wire.fake._sampling = FrameSampling("uniform-8", num_frames=8)
    mismatch = FrameIndexMismatch("these frames aren't the model's")
    if whole:
        wire.script.append(mismatch)
        call = client.score([b"jpg"], clip, fps=16)
    else:
        body = {**COMMON, "theta": 5, "items": [{"index": 0, "error": {"code": mismatch.code, "message": "no"}}]}
        wire.script.append(Response(json.dumps(body), 200))
        call = client.score_group([b"jpg"], [clip], fps=16)
    await call
    assert wire.metadata()["video.0"]["shape"][0] == 8


async def test_a_frame_mismatch_that_stays_is_raised_once(client, wire, clip):
    await client.models()
    wire.script.extend([FrameIndexMismatch("no")])
    with pytest.raises(FrameIndexMismatch):
        await client.score([b"jpg"], clip, fps=16)
    assert wire.paths().count("/v1/groups:raw") == 1


async def test_the_token_travels_as_bearer(wire):
    client = HttpRewardClient(wire.url, token="s3cret")
    await client.models()
    assert wire.requests[0].headers["authorization"] == "Bearer s3cret"
    await client.close()


@pytest.mark.parametrize("url", ["127.0.0.1:3000", "ftp://x", "http://", "nonsense", "http://[::1"])
def test_a_url_that_is_none_is_refused(url):
    with pytest.raises(InvalidRequest, match="URL"):
        HttpRewardClient(url)


async def test_the_environments_proxies_are_not_used(wire, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    client = HttpRewardClient(wire.url, retry=QUICK)
    assert await client.models()
    await client.close()


def test_the_blocking_facade_works_from_threads_and_inside_a_loop(wire, files):
    from concurrent.futures import ThreadPoolExecutor

    with SyncRewardClient(HttpRewardClient(wire.url)) as client:
        with ThreadPoolExecutor(8) as pool:
            rewards = list(pool.map(lambda _: client.score(refs(files), files / "one.mp4").reward, range(16)))
        assert len(set(rewards)) == 1

        async def inside():
            return client.score(refs(files), files / "one.mp4").reward

        assert asyncio.run(inside()) == rewards[0]
        with pytest.raises(RewardError):
            client.score(refs(files), "gone.mp4")
    with pytest.raises(RuntimeError, match="closed"):
        client.models()


async def test_a_scoring_call_says_how_urgent_it_is_and_keeps_its_key_over_its_tries(wire, files):
    client = HttpRewardClient(wire.url, retry=QUICK, priority="bulk", timeout_s=7.5)
    wire.script.extend([Overloaded("busy"), None, None])
    await client.score(refs(files), files / "one.mp4")
    await client.compare(refs(files), files / "one.mp4", files / "two.mp4")
    sent = [request.headers for request in wire.requests]
    assert [(one["x-priority"], one["x-request-timeout"]) for one in sent] == [("bulk", "7.500")] * 3
    keys = [one["idempotency-key"] for one in sent]
    assert keys[0] == keys[1] != keys[2]
    await client.put_references(refs(files))
    await client.models()
    assert not any("idempotency-key" in request.headers for request in wire.requests[3:])
    await client.close()


async def test_calls_name_the_references_that_they_go_by(wire, files, clip):
    client = HttpRewardClient(wire.url, retry=QUICK)
    set_id = await client.put_references(refs(files))
    await client.score(refs(files), files / "one.mp4")
    await client.score_group(set_id, [clip], fps=16)
    await client.compare([b"other"], files / "one.mp4", files / "two.mp4")
    named = [request.headers.get("x-reference-set") for request in wire.requests if request.method != "GET"]
    own = reference_set_id(to_references(refs(files)))
    assert named[:3] == [own, own, set_id]
    assert named[3] not in (own, set_id, None)
    await client.models()
    assert "x-reference-set" not in wire.requests[-1].headers
    await client.close()


def test_a_priority_that_is_none_is_refused(wire):
    with pytest.raises(InvalidRequest, match="rollout, interactive, bulk"):
        HttpRewardClient(wire.url, priority="urgent")
