"""gRPC when the server is told to stop: streams under way come to their end, new calls are told to come back."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import grpc

from identity_reward_client.proto.identity_reward_pb2_grpc import RewardServiceStub
from tests.e2e.grpc_calls import group, metric, refused, score, until

# what gRPC itself says when the port is closed, or closes at that very moment: clients ask again after both
OVER = ((grpc.StatusCode.UNAVAILABLE, None), (grpc.StatusCode.CANCELLED, None))


def test_streams_finish_and_new_calls_are_unavailable_until_the_port_closes(serve_slow):
    server = serve_slow("--grpc-port", "0", max_batch_tokens=200, result_cache_entries=0).wait_ready(lines=2)
    outcomes: list[tuple[float, object]] = []

    def ask(stub: RewardServiceStub, number: int) -> object:
        """The rewards, or how the call was refused."""
        try:
            if number % 2:
                return [stub.Score(score(100), timeout=20).reward]
            *items, last = stub.ScoreGroup(group(100, 101, 102, 103), timeout=20)
            assert sorted(one.item.index for one in items) == [0, 1, 2, 3]
            return [one.scored.reward for one in last.group.items]
        except grpc.RpcError as error:
            return refused(error)

    def keep_asking(number: int) -> None:
        with grpc.insecure_channel(server.grpc_target, [("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = RewardServiceStub(channel)
            while not outcomes or outcomes[-1][1] not in OVER:
                begun = time.monotonic()
                outcomes.append((begun, ask(stub, number)))
                time.sleep(0.02)

    with ThreadPoolExecutor(6) as pool:
        callers = [pool.submit(keep_asking, number) for number in range(6)]
        time.sleep(0.5)
        told = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert server.wait(20) == 0
        for caller in callers:
            caller.result(20)
    before = [outcome for begun, outcome in outcomes if begun < told - 0.05]
    assert len(before) > 6
    assert all(isinstance(outcome, list) for outcome in before), "taken before the signal"
    assert {tuple(outcome) for outcome in before} == {(100,), (100, 101, 102, 103)}
    refusals = [outcome for _, outcome in outcomes if not isinstance(outcome, list) and outcome not in OVER]
    assert refusals
    for status, error in refusals:
        assert (status, error.code, error.retryable) == (grpc.StatusCode.UNAVAILABLE, "not_ready", True)
        assert error.retry_after_s >= 1


def test_what_takes_longer_than_the_drain_is_told_to_come_back(serve_slow):
    """Not cut off without a word: a caller can't tell that from a crash."""
    server = serve_slow("--grpc-port", "0", max_batch_tokens=100, drain_timeout_s=0.5, result_cache_entries=0)
    server.wait_ready(lines=2)
    with ThreadPoolExecutor(8) as pool, grpc.insecure_channel(server.grpc_target) as channel:
        stub = RewardServiceStub(channel)

        def ask(number: int) -> object:
            try:
                if number % 2:
                    *_, last = stub.ScoreGroup(group(240), timeout=20)
                    return last.group.items[0].scored.reward
                return stub.Score(score(240, number), timeout=20).reward
            except grpc.RpcError as error:
                return refused(error)

        calls = [pool.submit(ask, number) for number in range(8)]
        until(lambda: metric(server.url, "waiting_tokens") == 800, "all are let in")
        told = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        answers = [call.result(20) for call in calls]
        assert time.monotonic() - told < 1.6, "eight take 1.9 s"
        assert server.wait(20) == 0
    scored = [answer for answer in answers if not isinstance(answer, tuple)]
    assert 1 <= len(scored) < 8
    assert set(scored) == {240}
    for status, error in (answer for answer in answers if isinstance(answer, tuple)):
        assert (status, error and error.code) == (grpc.StatusCode.UNAVAILABLE, "not_ready")
        assert error.retry_after_s >= 1
