import pytest

from identity_reward_client.messages import Video
from identity_reward_client.wire.job_messages import JOB_STATES, JobInfo, JobItem

SET_ID = "sha256:" + "ab" * 32


@pytest.mark.parametrize("state", JOB_STATES)
def test_job_is_finished_once_it_is_done_or_cancelled(state):
    info = JobInfo(id="j", state=state, total=2, done=1, failed=0, waiting=1, created_at="2025-01-01T00:00:00+00:00")
    assert info.finished is (state in ("done", "cancelled"))


@pytest.mark.parametrize("name", ["", "x" * 201])
def test_name_of_an_item_has_1_to_200_characters(name):
    with pytest.raises(ValueError, match="id"):
        JobItem(id=name, references=SET_ID, video=Video(data=b"mp4"))
