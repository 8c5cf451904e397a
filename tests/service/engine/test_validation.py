import pytest

from identity_reward_client.errors import (
    InvalidRequest,
    LimitExceeded,
    ModelNotFound,
)
from identity_reward_client.messages import GroupRequest, ReferenceSet, ScoreRequest


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"references": 4}, LimitExceeded),
        ({"videos": 5}, LimitExceeded),
        ({"prompt": "x" * 100}, LimitExceeded),
        ({"model": "arcface"}, ModelNotFound),
        ({"theta": 1e9}, InvalidRequest),
    ],
)
async def test_requests_over_a_limit_are_refused(make_engine, reference, video, change, error):
    engine = make_engine(max_group_videos=4, max_prompt_chars=99)
    fields = {"prompt": None, "theta": 5.0, "model": None, "references": 1, "videos": 1} | change
    fields["references"] = [reference()] * fields["references"]
    fields["videos"] = [video(51)] * fields["videos"]
    with pytest.raises(error):
        await engine.score_group(GroupRequest(**fields))


async def test_a_stored_set_can_have_too_many_images_for_a_model(engine, reference, video):
    stored = await engine.put_references(ReferenceSet(images=[reference(i) for i in range(1, 5)]))
    with pytest.raises(LimitExceeded, match="4 references; at most 3"):
        await engine.score(ScoreRequest(references=stored.id, video=video(51)))
