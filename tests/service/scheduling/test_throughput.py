import pytest

from service.scheduling.throughput import Throughput


def test_throughput_follows_the_recorded_work():
    throughput = Throughput(tokens_per_s=1_000_000, window_s=10)
    for _ in range(3):
        throughput.record(500, 1.0)
    assert throughput.tokens_per_s < 400_000
    for _ in range(100):
        throughput.record(500, 1.0)
    assert throughput.tokens_per_s == pytest.approx(500, rel=0.05)
