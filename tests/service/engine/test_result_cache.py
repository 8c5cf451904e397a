import pytest

from identity_reward_client.errors import (
    NonFiniteReward,
    VideoNotFound,
)
from identity_reward_client.messages import CompareRequest, GroupRequest, ReferenceSet, ScoreRequest, Video
from reward_model.types import CacheCount, Score
from service.engine.result_cache import ResultCache, ResultKey
from service.scheduling.item_result import ItemResult


async def test_a_scored_video_is_cached_by_content_and_by_id(engine, reference, video):
    scorer = engine._models.find(None).scorer
    request = GroupRequest(references=[reference()], videos=[video(51), video(102)])
    first = await engine.score_group(request)
    again = await engine.score_group(request)
    assert [item.scored for item in again.items] == [item.scored for item in first.items]
    stored = (await engine.put_references(ReferenceSet(images=[reference()]))).id
    by_id = [Video(id=item.scored.video_id) for item in first.items]
    compared = await engine.compare(CompareRequest(references=stored, video_a=by_id[0], video_b=by_id[1]))
    assert (compared.a.reward, compared.b.reward) == (0.2, 0.4)
    detailed = await engine.score(ScoreRequest(references=stored, video=by_id[0], details=True))
    assert detailed.details == {"brightness": 0.2}
    assert len(scorer.batches) == 1


async def test_a_cached_result_keeps_its_warnings(engine, reference, video):
    first = await engine.score(ScoreRequest(references=[reference()], video=video(51, frames=3)))
    by_id = await engine.score(ScoreRequest(references=[reference()], video=Video(id=first.video_id)))
    assert [warning.code for warning in by_id.warnings] == ["short_clip"]
    assert by_id.warnings == first.warnings
    assert len(engine._models.find(None).scorer.batches) == 1


async def test_an_id_without_a_cached_result_is_not_found(engine, reference, video):
    response = await engine.score(ScoreRequest(references=[reference()], video=video(51)))
    for references, name in (([reference(9)], response.video_id), ([reference()], "sha256:" + "0" * 64)):
        with pytest.raises(VideoNotFound, match="send the video itself"):
            await engine.score(ScoreRequest(references=references, video=Video(id=name)))


async def test_errors_are_never_cached_and_the_cache_can_be_disabled(make_engine, reference, video):
    engine = make_engine(result_cache_entries=0)
    for _ in range(2):
        response = await engine.score(ScoreRequest(references=[reference()], video=video(51)))
        assert response.video_id is None
    assert len(engine._models.find(None).scorer.batches) == 2
    engine = make_engine()
    for _ in range(2):
        with pytest.raises(NonFiniteReward):
            await engine.score(ScoreRequest(references=[reference()], video=video(7)))
    assert len(engine._models.find(None).scorer.batches) == 2


def score(value: float) -> ItemResult:
    return ItemResult(score=Score(value, {}))


def key(video: str, prompt: str | None = None) -> ResultKey:
    return ResultKey("fingerprint", "references", video, prompt)


def test_the_least_recently_used_result_is_evicted():
    cache = ResultCache(2)
    cache.put(key("a"), score(1))
    cache.put(key("b"), score(2))
    assert cache.get(key("a")) == score(1)
    cache.put(key("c"), score(3))
    assert cache.get(key("b")) is None
    assert cache.get(key("a", "another prompt")) is None
    assert cache.get(key("c")) == score(3)
    assert cache.counts() == (CacheCount("results", 2, 2, 1, 2048),)


def test_a_cache_without_entries_keeps_nothing():
    cache = ResultCache(0)
    cache.put(key("a"), score(1))
    assert cache.get(key("a")) is None
