"""What a scrape tells of the models' caches, from real scoring."""

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from identity_reward_client.messages import GroupRequest, Image, Pixels, Video
from service.engine.engine import ScoringEngine
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
