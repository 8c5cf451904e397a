import threading
import time

import pytest

from identity_reward_client.errors import NotReady, Overloaded
from reward_model.errors import NonFiniteReward, ScoringError
from reward_model.types import Score
from service.scheduler import Scheduler


@pytest.fixture
def make(scorer):
    made = []

    def make(**limits) -> Scheduler:
        made.append(Scheduler(scorer, **({"max_batch_items": 4, "max_waiting_items": 8} | limits)))
        return made[-1]

    yield make
    scorer.open.set()
    for one in made:
        one.close()


def held(scorer, scheduler):
    """Hold the model with one item in it, so that what is submitted next waits together."""
    scorer.open.clear()
    first = scheduler.submit([0.0])
    while not first.running():
        time.sleep(0.001)
    return first


def test_what_waits_together_is_scored_together_in_whole_groups(scorer, make):
    scheduler = make()
    held(scorer, scheduler)
    futures = [scheduler.submit(items) for items in ([10.0, 20.0], [30.0, 40.0], [50.0], [60.0] * 6, [70.0])]
    scorer.open.set()
    results = [future.result(5) for future in futures]
    assert scorer.batches == [[0.0], [10.0, 20.0, 30.0, 40.0], [50.0], [60.0] * 6, [70.0]]
    assert [score.reward for score in results[0].outcomes] == [10 / 255, 20 / 255]
    assert results[1].queue_s > 0
    assert results[1].forward_s >= 0


def test_a_crash_fails_its_group_alone_and_the_next_batch_runs(scorer, make, caplog):
    scheduler = make()
    held(scorer, scheduler)
    good, bad = scheduler.submit([10.0]), scheduler.submit([13.0, 20.0])
    scorer.open.set()
    assert isinstance(good.result(5).outcomes[0], Score)
    for outcome in bad.result(5).outcomes:
        assert isinstance(outcome, ScoringError)
        assert outcome.code == "scoring_failed"
        assert "secret" not in outcome.message
    assert isinstance(scheduler.submit([30.0]).result(5).outcomes[0], Score)
    assert "RuntimeError at" in caplog.text
    assert "secret" not in caplog.text


def test_a_reward_that_is_no_number_is_an_error_of_its_item(scorer, make):
    outcomes = make().submit([7.0, 51.0]).result(5).outcomes
    assert isinstance(outcomes[0], NonFiniteReward)
    assert outcomes[1].reward == 0.2


def test_even_an_exit_inside_the_model_leaves_no_future_open(scorer, make, monkeypatch):
    scheduler = make()
    monkeypatch.setattr(scorer, "forward", lambda batch: exec("raise SystemExit"))
    assert isinstance(scheduler.submit([1.0]).result(5).outcomes[0], ScoringError)
    monkeypatch.undo()
    assert isinstance(scheduler.submit([1.0]).result(5).outcomes[0], Score)


def test_a_model_that_answers_too_few_fails_the_batch(scorer, make, monkeypatch):
    scheduler = make()
    monkeypatch.setattr(scorer, "forward", lambda batch: list(batch)[:-1])
    assert all(isinstance(one, ScoringError) for one in scheduler.submit([1.0, 2.0]).result(5).outcomes)


def test_over_the_bound_is_overloaded_with_a_time_to_come_back(scorer, make):
    scheduler = make()
    with scheduler.admit(6):
        assert scheduler.admitted == 6
        with pytest.raises(Overloaded) as caught, scheduler.admit(3):
            pass
        assert 1 <= caught.value.retry_after_s <= 60
        with scheduler.admit(2):
            assert scheduler.admitted == 8
    assert scheduler.admitted == 0


def test_a_failure_inside_gives_its_room_back(make):
    scheduler = make()
    with pytest.raises(ValueError, match="x"), scheduler.admit(5):
        raise ValueError("x")
    assert scheduler.admitted == 0


def test_a_cancelled_group_never_reaches_the_model(scorer, make):
    scheduler = make()
    held(scorer, scheduler)
    dropped, kept = scheduler.submit([99.0]), scheduler.submit([10.0])
    assert dropped.cancel()
    scorer.open.set()
    kept.result(5)
    assert [99.0] not in scorer.batches
    assert scorer.batches[-1] == [10.0]


def test_closing_finishes_what_runs_and_refuses_what_waits(scorer, make):
    scheduler = make()
    running = held(scorer, scheduler)
    waiting = scheduler.submit([10.0])
    closer = threading.Thread(target=scheduler.close)
    closer.start()
    scorer.open.set()
    closer.join(5)
    assert running.result(5).outcomes[0].reward == 0
    with pytest.raises(NotReady):
        waiting.result(5)
    with pytest.raises(NotReady):
        scheduler.submit([1.0])
    with pytest.raises(NotReady), scheduler.admit(1):
        pass


def test_many_threads_all_get_their_own_answer(make):
    scheduler = make(max_waiting_items=1000)
    values = [float(value) for value in range(20, 120)]
    results: dict[float, float] = {}

    def ask(value):
        results[value] = scheduler.submit([value]).result(10).outcomes[0].reward

    threads = [threading.Thread(target=ask, args=(value,)) for value in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert results == {value: value / 255 for value in values}
