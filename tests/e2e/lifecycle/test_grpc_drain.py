"""gRPC during a drain: running streams finish, and new calls get a retryable status."""

import asyncio
import signal

import grpc
import httpx

from identity_reward_client.proto.identity_reward_pb2_grpc import RewardServiceStub
from tests.e2e.grpc_calls import group_request, score_request, status_and_error
from tests.support.metrics import metric
from tests.support.waiting import GENEROUS_S, until

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
# without an error of the server's: the port closes, or is closed
CLOSED = ((UNAVAILABLE, None), (grpc.StatusCode.CANCELLED, None))


async def ask(stub: RewardServiceStub, level: int, streams: bool) -> object:
    """The rewards of one video or of a group of two, or how the call was refused."""
    try:
        if not streams:
            return [(await stub.Score(score_request(level), timeout=GENEROUS_S)).reward]
        events = [event async for event in stub.ScoreGroup(group_request(level, level + 1), timeout=GENEROUS_S)]
        *items, last = events
        assert sorted(event.item.index for event in items) == [0, 1]
        return [item.scored.reward for item in last.group.items]
    except grpc.aio.AioRpcError as error:
        return status_and_error(error)


def check_refusals(refusals: list) -> None:
    assert refusals
    for status, error in refusals:
        assert (status, error and error.code) == (UNAVAILABLE, "not_ready")
        assert error.retryable
        assert error.retry_after_s >= 1


async def test_streams_finish_and_new_calls_are_unavailable_until_the_port_closes(serve_slow):
    server = serve_slow("--grpc-port", "0", max_batch_tokens=200, result_cache_entries=0).wait_ready(lines=2)
    late: list[object] = []

    async with grpc.aio.insecure_channel(server.grpc_target) as channel:
        stub = RewardServiceStub(channel)

        async def keep_asking() -> None:
            while not late or late[-1] not in CLOSED:
                late.append(await ask(stub, 20, streams=False))

        with server.gate.closed():
            accepted = [asyncio.create_task(ask(stub, 50, number % 2 == 0)) for number in range(6)]
            await until(lambda: metric(server.url, "waiting_tokens") == 900, "all are accepted")
            server.process.send_signal(signal.SIGTERM)
            await until(
                lambda: httpx.get(f"{server.url}/readyz", timeout=GENEROUS_S).status_code == 503, "the server drains"
            )
            calls = asyncio.create_task(keep_asking())
            await until(lambda: len(late) >= 3, "new calls are refused")
        assert [await call for call in accepted] == [[50, 51], [50]] * 3
        assert await asyncio.to_thread(server.wait) == 0
        await calls
    check_refusals([outcome for outcome in late if outcome not in CLOSED])


async def test_calls_that_outlast_the_drain_get_a_retryable_status(serve_slow):
    """Not cut off without an error: a caller could not distinguish that from a crash."""
    server = serve_slow("--grpc-port", "0", max_batch_tokens=100, drain_timeout_s=0.5, result_cache_entries=0)
    server.wait_ready(lines=2)
    server.gate.close()
    async with grpc.aio.insecure_channel(server.grpc_target) as channel:
        stub = RewardServiceStub(channel)
        calls = [asyncio.create_task(ask(stub, 20, number % 2 == 0)) for number in range(6)]
        await until(lambda: metric(server.url, "waiting_tokens") == 900, "all are accepted")
        server.gate.let_pass(2)
        await until(lambda: any(call.done() for call in calls), "one is answered")
        server.process.send_signal(signal.SIGTERM)
        # the model is held up for longer than the drain may take
        await until(lambda: sum(call.done() for call in calls) >= 5, "those that no batch holds are refused")
        server.gate.open()
        answers = [await call for call in calls]
        assert await asyncio.to_thread(server.wait) == 0
    scored = [answer for answer in answers if answer in ([20], [20, 21])]
    assert scored
    check_refusals([answer for answer in answers if answer not in scored])
