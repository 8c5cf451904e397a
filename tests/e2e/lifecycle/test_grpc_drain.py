"""gRPC when the server is told to stop: streams under way come to their end, new calls are told to come back."""

import asyncio
import signal
import time

import grpc

from identity_reward_client.proto.identity_reward_pb2_grpc import RewardServiceStub
from tests.e2e.grpc_calls import group, metric, refused, score, until

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
# without a word of the server's: the port closes, or is closed
CLOSED = ((UNAVAILABLE, None), (grpc.StatusCode.CANCELLED, None))


async def ask(stub: RewardServiceStub, level: int, streams: bool) -> object:
    """The rewards of one video or of a group of two, or how the call was refused."""
    try:
        if not streams:
            return [(await stub.Score(score(level), timeout=20)).reward]
        *items, last = [event async for event in stub.ScoreGroup(group(level, level + 1), timeout=20)]
        assert sorted(event.item.index for event in items) == [0, 1]
        return [item.scored.reward for item in last.group.items]
    except grpc.aio.AioRpcError as error:
        return refused(error)


def check_refusals(refusals: list) -> None:
    assert refusals
    for status, error in refusals:
        assert (status, error and error.code) == (UNAVAILABLE, "not_ready")
        assert error.retryable
        assert error.retry_after_s >= 1


async def test_streams_finish_and_new_calls_are_unavailable_until_the_port_closes(serve_slow):
    server = serve_slow("--grpc-port", "0", max_batch_tokens=200, result_cache_entries=0).wait_ready(lines=2)
    outcomes: list[tuple[float, object]] = []

    async def keep_asking(number: int) -> None:
        async with grpc.aio.insecure_channel(server.grpc_target) as channel:
            outcome: object = None
            while outcome not in CLOSED:
                begun = time.monotonic()
                outcome = await ask(RewardServiceStub(channel), 100, number % 2 == 0)
                outcomes.append((begun, outcome))
                await asyncio.sleep(0.02)

    async with asyncio.timeout(40):
        callers = [asyncio.create_task(keep_asking(number)) for number in range(6)]
        await asyncio.to_thread(until, lambda: len(outcomes) >= 8, "they are answered")
        told = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.wait, 20) == 0
        await asyncio.gather(*callers)
    before = [outcome for begun, outcome in outcomes if begun < told - 0.05]
    assert len(before) > 8, "and some under way"
    assert [outcome for outcome in before if outcome not in ([100], [100, 101])] == [], "taken before the signal"
    check_refusals([outcome for _, outcome in outcomes if isinstance(outcome, tuple) and outcome not in CLOSED])


async def test_what_takes_longer_than_the_drain_is_told_to_come_back(serve_slow):
    """Not cut off without a word: a caller can't tell that from a crash."""
    server = serve_slow("--grpc-port", "0", max_batch_tokens=100, drain_timeout_s=0.5, result_cache_entries=0)
    server.wait_ready(lines=2)
    async with asyncio.timeout(40), grpc.aio.insecure_channel(server.grpc_target) as channel:
        stub = RewardServiceStub(channel)
        calls = [asyncio.create_task(ask(stub, 240, number % 2 == 0)) for number in range(6)]
        await asyncio.to_thread(until, lambda: metric(server.url, "waiting_tokens") == 900, "all are let in")
        told = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        answers = await asyncio.gather(*calls)
        assert time.monotonic() - told < 1.6, "nine videos take 2.2 s"
        assert await asyncio.to_thread(server.wait, 20) == 0
    scored = [answer for answer in answers if answer in ([240], [240, 241])]
    assert scored, "there was time for one or two"
    check_refusals([answer for answer in answers if answer not in scored])
