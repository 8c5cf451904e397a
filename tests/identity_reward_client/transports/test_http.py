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
    InternalError,
    InvalidRequest,
    Overloaded,
)
from identity_reward_client.inputs.media import to_references
from identity_reward_client.inputs.tensors import from_pixels
from identity_reward_client.transports.http import HttpRewardClient
from identity_reward_client.transports.retry import RetryPolicy
from identity_reward_client.wire import raw_body
from identity_reward_client.wire.content_ids import reference_set_id
from tests.identity_reward_client.transports.conftest import QUICK


def test_http_client_is_a_reward_client(wire):
    assert isinstance(HttpRewardClient(wire.url), RewardClient)


async def test_files_are_sent_whole_as_json(client, wire, files, references):
    answer = await client.score(references, files / "one.mp4", prompt="two people", details=True)
    assert wire.paths() == ["/v1/score"]
    sent = json.loads(wire.requests[0].body)
    assert sent == {
        "references": [{"data": "Ynl0ZXMgb2YgYS5qcGc="}, {"data": "Ynl0ZXMgb2YgYi5qcGc="}],
        "prompt": "two people",
        "details": True,
        "video": {"data": "Ynl0ZXMgb2Ygb25lLm1wNA=="},
    }
    direct = await wire.fake.score(references, files / "one.mp4")
    assert answer.reward == direct.reward
    assert answer.details == {}


async def test_clip_of_33_frames_is_sent_as_four_in_a_raw_body(client, wire, clip, image):
    answer = await client.score([image, b"jpeg"], clip, fps=16)
    assert wire.paths() == ["/v1/models", "/v1/groups:raw"]
    assert wire.requests[1].headers["content-type"] == raw_body.CONTENT_TYPE
    assert wire.metadata()["video.0"]["shape"] == [4, 24, 40, 3]
    sent = raw_body.decode(wire.requests[1].body)
    np.testing.assert_array_equal(from_pixels(sent.videos[0].frames), clip[[0, 11, 21, 32]])
    assert (answer.num_source_frames, answer.frame_indices, answer.fps) == (33, [0, 11, 21, 32], 16)
    assert answer.reward == pytest.approx((0 + 11 + 21 + 32) / 4 / 255)


async def test_group_of_arrays_is_one_raw_request_with_matrices(client, wire, clip, image):
    answer = await client.score_group([image], [clip, clip + 100], fps=16, matrices=True, theta=3, prompt="x")
    assert wire.paths() == ["/v1/models", "/v1/groups:raw"]
    rewards = [item.reward for item in answer.items]
    assert rewards[1] - rewards[0] == pytest.approx(100 / 255)
    assert answer.theta == 3
    assert answer.win[1][0] == pytest.approx(float(preference.probabilities(rewards[1] - rewards[0], 3)[0]))


async def test_group_of_files_is_json(client, wire, files, references):
    answer = await client.score_group(references, [files / "one.mp4", files / "two.mp4"])
    assert wire.paths() == ["/v1/groups"]
    assert len({item.reward for item in answer.items}) == 2


async def test_compare_sends_both_videos_and_returns_probabilities(client, wire, clip, image):
    answer = await client.compare([image], clip, clip + 200, fps=16, theta=1.5)
    assert wire.paths() == ["/v1/models", "/v1/compare"]
    assert answer.p_a_wins + answer.p_tie + answer.p_b_wins == pytest.approx(1)
    assert answer.verdict == "B"
    assert answer.theta == 1.5


async def test_error_body_becomes_the_same_class(client, wire, files, references):
    wire.script.append(InternalError("it broke", details={"stage": "forward"}))
    with pytest.raises(InternalError, match="it broke") as caught:
        await client.score(references, files / "one.mp4")
    assert caught.value.details == {"stage": "forward"}
    assert len(wire.requests) == 1


async def test_overloaded_call_is_retried_after_retry_after(client, wire, files, references):
    wire.script.extend([Overloaded("busy", retry_after_s=0.3), Overloaded("busy")])
    started = time.monotonic()
    answer = await client.score(references, files / "one.mp4")
    assert time.monotonic() - started >= 0.3
    assert len(wire.requests) == 3
    assert answer.reward == (await wire.fake.score(references, files / "one.mp4")).reward


async def test_lasting_overload_is_raised_with_its_retry_after(wire, files, references):
    client = HttpRewardClient(wire.url, retry=RetryPolicy(max_attempts=2, base_s=0))
    wire.script.extend([Overloaded("busy", retry_after_s=0.01)] * 5)
    with pytest.raises(Overloaded) as caught:
        await client.score(references, files / "one.mp4")
    assert caught.value.retry_after_s == 0.01
    assert len(wire.requests) == 2
    await client.close()


async def test_503_of_a_gateway_is_retried(client, wire, files, references):
    wire.script.append(Response("<html>bad gateway</html>", 503, media_type="text/html"))
    assert math.isfinite((await client.score(references, files / "one.mp4")).reward)
    assert len(wire.requests) == 2


async def test_broken_connection_is_retried(wire, files, references):
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
    answer = await client.score(references, files / "one.mp4")
    assert math.isfinite(answer.reward)
    assert (broken, len(wire.requests)) == (2, 1)
    await client.close()
    server.close()


async def test_token_is_sent_as_bearer(wire):
    client = HttpRewardClient(wire.url, token="s3cret")
    await client.models()
    assert wire.requests[0].headers["authorization"] == "Bearer s3cret"
    await client.close()


@pytest.mark.parametrize("url", ["127.0.0.1:3000", "ftp://x", "http://", "nonsense", "http://[::1"])
def test_malformed_url_is_refused(url):
    with pytest.raises(InvalidRequest, match="URL"):
        HttpRewardClient(url)


async def test_proxies_of_the_environment_are_not_used(wire, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    client = HttpRewardClient(wire.url, retry=QUICK)
    assert await client.models()
    await client.close()


async def test_scoring_call_sends_priority_and_one_key_for_all_attempts(wire, files, references):
    client = HttpRewardClient(wire.url, retry=QUICK, priority="bulk", timeout_s=7.5)
    wire.script.extend([Overloaded("busy"), None, None])
    await client.score(references, files / "one.mp4")
    await client.compare(references, files / "one.mp4", files / "two.mp4")
    sent = [request.headers for request in wire.requests]
    assert [(headers["x-priority"], headers["x-request-timeout"]) for headers in sent] == [("bulk", "7.500")] * 3
    keys = [headers["idempotency-key"] for headers in sent]
    assert keys[0] == keys[1] != keys[2]
    await client.put_references(references)
    await client.models()
    assert not any("idempotency-key" in request.headers for request in wire.requests[3:])
    await client.close()


async def test_calls_name_their_reference_set(wire, files, clip, references):
    client = HttpRewardClient(wire.url, retry=QUICK)
    set_id = await client.put_references(references)
    await client.score(references, files / "one.mp4")
    await client.score_group(set_id, [clip], fps=16)
    await client.compare([b"other"], files / "one.mp4", files / "two.mp4")
    named = [request.headers.get("x-reference-set") for request in wire.requests if request.method != "GET"]
    own = reference_set_id(to_references(references))
    assert named[:3] == [own, own, set_id]
    assert named[3] not in (own, set_id, None)
    await client.models()
    assert "x-reference-set" not in wire.requests[-1].headers
    await client.close()
