"""Counts of requests, and metrics of the caches after real scoring."""

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from identity_reward_client.fields.warnings import WarningCode
from identity_reward_client.messages import GroupRequest, Image, Pixels, Video
from service.engine.engine import ScoringEngine
from service.operations.metrics import Metrics
from tests.service.flat_settings import flat_settings


def pixels(*shape, seed=0):
    array = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    return Pixels(shape=list(shape), data=array.tobytes())


def cache_samples(engine):
    families = text_string_to_metric_families(engine.metrics.text().decode())
    return {
        (sample.name, sample.labels["cache"]): sample.value
        for family in families
        for sample in family.samples
        if sample.name.startswith("identity_reward_cache")
    }


@pytest.fixture
async def engine():
    engine = ScoringEngine(flat_settings(models=("tiny",), result_cache_entries=0))
    engine.start()
    yield engine
    await engine.close()


async def test_a_group_misses_its_prefix_once_and_the_next_request_finds_it(engine):
    before = cache_samples(engine)
    videos = [Video(frames=pixels(5, 64, 80, 3, seed=n), fps=8.0) for n in range(3)]
    request = GroupRequest(references=[Image(pixels=pixels(60, 60, 3, seed=9))], videos=videos)
    first = await engine.score_group(request)
    after = cache_samples(engine)
    key = ("identity_reward_cache_misses_total", "prefixes")
    assert after[key] - before[key] == 1
    second = await engine.score_group(request)
    hits = ("identity_reward_cache_hits_total", "prefixes")
    assert cache_samples(engine)[hits] - after[hits] == 1
    assert after["identity_reward_cache_bytes", "features"] > before["identity_reward_cache_bytes", "features"]
    assert [item.reward for item in first.items] == [item.reward for item in second.items]


async def test_warnings_are_counted_by_model_and_code(engine):
    def counts() -> dict[str, float]:
        return {
            code: engine.metrics.registry.get_sample_value(
                "identity_reward_warnings_total", {"model": "tiny", "code": code}
            )
            for code in WarningCode
        }

    assert counts() == dict.fromkeys(WarningCode, 0.0)
    videos = [Video(frames=pixels(n, 64, 80, 3, seed=n), fps=2.0) for n in (2, 3, 5)]
    await engine.score_group(GroupRequest(references=[Image(pixels=pixels(60, 60, 3, seed=9))], videos=videos))
    assert counts() == dict.fromkeys(WarningCode, 0.0) | {"short_clip": 2.0}


def test_a_request_is_counted_by_route_status_and_error():
    metrics = Metrics()
    metrics.count_request("/v1/score", "200", None, 0.2)
    metrics.count_request("/v1/score", "503", "overloaded", 0.1)
    metrics.count_request("/v1/score", "UNIMPLEMENTED", None)

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(f"identity_reward_{name}", labels)

    for status in ("200", "503", "UNIMPLEMENTED"):
        assert value("requests_total", route="/v1/score", status=status) == 1
    assert value("errors_total", code="overloaded") == 1
    assert value("request_seconds_count", route="/v1/score") == 2
