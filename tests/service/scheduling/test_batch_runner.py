import pytest

from identity_reward_client.errors import DeviceLost, NonFiniteReward, ScoringFailed
from tests.service.scheduling.tasks import LIMIT_S, group_task, occupy
from tests.support.waiting import wait_until


def errors(task):
    return [result.error for result in task.future.result(LIMIT_S)]


def rewards(scheduler, *values):
    return [result.score.reward for result in scheduler.submit(group_task(*values)).result(LIMIT_S)]


def test_a_crash_fails_only_its_own_task_and_the_next_batch_runs(scorer, make_scheduler, caplog):
    scheduler = make_scheduler()
    occupy(scorer, scheduler)
    good, bad = group_task(10.0), group_task(13.0, 20.0)
    for task in (good, bad):
        scheduler.submit(task)
    wait_until(lambda: good.ready and bad.ready)
    scorer.open.set()
    assert errors(good) == [None]
    for error in errors(bad):
        assert isinstance(error, ScoringFailed)
        assert error.code == "scoring_failed"
        assert "secret" not in error.message
    assert rewards(scheduler, 30.0) == [30 / 255]
    assert "RuntimeError at" in caplog.text
    assert "secret" not in caplog.text


def test_a_reward_that_is_not_finite_is_an_error_of_its_item(make_scheduler):
    failed, scored = make_scheduler().submit(group_task(7.0, 51.0)).result(LIMIT_S)
    assert isinstance(failed.error, NonFiniteReward)
    assert failed.score is None
    assert scored.score.reward == 0.2


def test_a_system_exit_inside_the_model_resolves_every_future(scorer, make_scheduler, monkeypatch):
    scheduler = make_scheduler()
    monkeypatch.setattr(scorer, "forward", lambda batch: exec("raise SystemExit"))
    task = group_task(1.0)
    scheduler.submit(task)
    assert isinstance(errors(task)[0], ScoringFailed)
    monkeypatch.undo()
    assert rewards(scheduler, 1.0) == [1 / 255]


def test_a_model_that_returns_too_few_outputs_fails_the_batch(scorer, make_scheduler, monkeypatch):
    monkeypatch.setattr(scorer, "forward", lambda batch: list(batch)[:-1])
    task = group_task(1.0, 2.0)
    make_scheduler().submit(task)
    assert all(isinstance(error, ScoringFailed) for error in errors(task))


def test_a_lost_device_is_reported_once_and_never_used_again(scorer, make_scheduler, monkeypatch):
    reasons, calls = [], []
    scheduler = make_scheduler(batch_tokens=1, on_lost=reasons.append)

    def forward(batch):
        calls.append(batch)
        raise DeviceLost("cuda:0: an illegal memory access was encountered")

    monkeypatch.setattr(scorer, "forward", forward)
    for task in (group_task(1.0, 2.0), group_task(3.0)):
        scheduler.submit(task)
        assert all(isinstance(error, DeviceLost) for error in errors(task))
    assert reasons == ["cuda:0: an illegal memory access was encountered"]
    assert len(calls) == 1


@pytest.mark.parametrize("values", [[51.0], [51.0, 102.0]])
def test_scores_are_results_without_an_error(make_scheduler, values):
    task = group_task(*values)
    make_scheduler().submit(task)
    assert errors(task) == [None] * len(values)
