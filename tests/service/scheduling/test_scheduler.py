import gc
import threading
import time
import weakref
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest

from identity_reward_client.errors import (
    DeadlineExceeded,
    DeviceLost,
    NonFiniteReward,
    NotReady,
    ReferenceWithoutFace,
    ScoringFailed,
)
from reward_model.types import Price, Score
from service.scheduling.admission import Drain
from service.scheduling.batch_work import Work
from service.scheduling.call import Call
from service.scheduling.scheduler import Scheduler


@pytest.fixture
def make(scorer):
    made = []

    def make(batch_tokens: int = 4, threads: int = 2, **options) -> Scheduler:
        pool = ThreadPoolExecutor(threads)
        made.append((Scheduler(scorer, pool, batch_tokens, **options), pool))
        return made[-1][0]

    yield make
    scorer.open.set()
    for scheduler, pool in made:
        scheduler.close()
        pool.shutdown()


def work(*items, shared=0, resolve=lambda: None, prepare=None, known=None, **call) -> Work:
    """A work of one token an item; an item that is an exception is raised by its preparation."""

    def give(_, number):
        if isinstance(items[number], BaseException):
            raise items[number]
        return items[number]

    made = Work(Call(**call), [Price(shared, 1)] * len(items), resolve, prepare or give)
    if known is not None:
        made.known = known
    return made


def held(scorer, scheduler) -> Work:
    """Hold the model with one item in it, so that what is submitted next waits together."""
    scorer.open.clear()
    first = work(0.0)
    scheduler.submit(first)
    while scheduler.works:
        time.sleep(0.001)
    return first


def until(condition):
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_what_waits_together_is_scored_together_in_whole_groups(scorer, make):
    scheduler = make()
    held(scorer, scheduler)
    works = [work(*items) for items in ([10.0, 20.0], [30.0, 40.0], [50.0], [60.0] * 3, [70.0, 80.0])]
    futures = [scheduler.submit(one) for one in works]
    until(lambda: not any(one.pending for one in works[:3]))
    scorer.open.set()
    results = [future.result(5) for future in futures]
    assert scorer.batches[:2] == [[0.0], [10.0, 20.0, 30.0, 40.0]]
    assert scorer.batches[2][0] == 50.0
    for batch in scorer.batches:
        assert batch.count(60.0) in (0, 3)
        assert (70.0 in batch) == (80.0 in batch)
        assert len(batch) <= 4
    assert [score.reward for score in results[0].outcomes] == [10 / 255, 20 / 255]
    assert results[1].queue_s > 0
    assert results[1].forward_s >= 0


def test_the_next_batch_is_prepared_while_this_one_runs(scorer, make):
    scheduler = make()
    held(scorer, scheduler)
    works = [work(*[float(n)] * 4) for n in range(20, 25)]
    for one in works:
        scheduler.submit(one)
    until(lambda: not works[1].pending)
    time.sleep(0.05)
    assert [one.pending for one in works] == [0, 0, 4, 4, 4], "two batches ahead and no more"
    scorer.open.set()
    assert all(len(one.future.result(5).outcomes) == 4 for one in works)


def test_the_urgent_overtake_what_is_not_yet_prepared(scorer, make):
    scheduler = make()
    held(scorer, scheduler)
    bulk = [work(*[float(n)] * 4, priority="bulk") for n in range(20, 25)]
    for one in bulk:
        scheduler.submit(one)
    urgent = work(99.0, priority="rollout")
    scheduler.submit(urgent)
    scorer.open.set()
    for one in [*bulk, urgent]:
        one.future.result(5)
    order = [batch[0] for batch in scorer.batches]
    assert order.index(99.0) <= 3


def test_the_urgent_go_first_among_what_is_ready_but_pass_nobody_for_ever(scorer, make):
    scheduler = make(batch_tokens=1)
    held(scorer, scheduler)
    patient = work(20.0, priority="bulk")
    scheduler.submit(patient)
    urgent = [work(float(n), priority="rollout") for n in range(40, 60)]
    scheduler.submit(urgent[0])
    until(lambda: not patient.pending and not urgent[0].pending)

    rest = iter(urgent[1:])

    def forward(batch):
        scorer.batches.append(list(batch))
        following = next(rest, None)
        if following is not None:  # there is always an urgent one that is ready
            scheduler.submit(following)
            until(lambda: not following.pending)
        return [value / 255 for value in batch]

    scorer.forward = forward
    scorer.open.set()
    for one in (patient, *urgent):
        one.future.result(5)
    order = [batch[0] for batch in scorer.batches]
    assert order[1] == 40.0
    assert 2 < order.index(20.0) < 12


def test_the_urgent_do_not_wait_for_what_less_urgent_ones_are_slow_to_decode(scorer, make):
    scheduler = make(batch_tokens=1, threads=8)
    go = threading.Event()
    bulk = [work(1.0, prepare=lambda *_: go.wait(10) and 20.0, priority="bulk") for _ in range(3)]
    for one in bulk:
        scheduler.submit(one)
    assert isinstance(scheduler.submit(work(99.0, priority="rollout")).result(5).outcomes[0], Score)
    go.set()
    assert all(isinstance(one.future.result(5).outcomes[0], Score) for one in bulk)


def test_the_urgent_pass_between_the_parts_of_a_large_group(scorer, make):
    scheduler = make()
    large, urgent = work(*[20.0] * 16, priority="bulk"), [work(float(n), priority="rollout") for n in range(40, 44)]

    def forward(batch):
        scorer.batches.append(list(batch))
        if len(scorer.batches) == 1:
            for one in urgent:
                scheduler.submit(one)
            until(lambda: not any(one.pending for one in urgent))
        return [value / 255 for value in batch]

    scorer.forward = forward
    assert len(scheduler.submit(large).result(5).outcomes) == 16
    assert [batch[0] for batch in scorer.batches] == [20.0, 40.0, 20.0, 20.0, 20.0]
    assert [one.future.result(5).outcomes[0].reward for one in urgent] == [n / 255 for n in range(40, 44)]


def test_a_group_over_the_budget_is_scored_in_parts_and_told_in_parts(scorer, make):
    scheduler = make()
    told, forwards = [], []
    one = work(
        *[float(n) for n in range(20, 30)],
        shared=1,
        known=lambda number, outcome: told.append((number, len(scorer.batches))),
    )
    outcomes = scheduler.submit(one).result(5).outcomes
    assert [len(batch) for batch in scorer.batches] == [3, 3, 3, 1]
    assert [score.reward * 255 for score in outcomes] == pytest.approx(list(range(20, 30)))
    assert told == [(number, number // 3 + 1) for number in range(10)]
    assert not forwards


def test_one_item_fails_in_its_preparation_and_is_told_before_the_others_are_scored(scorer, make):
    scheduler = make()
    held(scorer, scheduler)
    told = []
    one = work(ScoringFailed("this one"), 51.0, known=lambda number, outcome: told.append((number, outcome)))
    scheduler.submit(one)
    until(lambda: not one.pending)
    assert [number for number, _ in told] == [0]
    scorer.open.set()
    outcomes = one.future.result(5).outcomes
    assert outcomes[0].message == "this one"
    assert outcomes[1].reward == 0.2


def test_when_every_item_fails_the_model_is_not_asked(scorer, make):
    outcomes = make().submit(work(ScoringFailed("a"), ValueError("secret"))).result(5).outcomes
    assert [one.message for one in outcomes] == ["a", "the model failed on this batch; the server's log says where"]
    assert not scorer.batches


@pytest.mark.parametrize("where", ["resolve", "prepare"])
def test_an_error_of_the_references_fails_the_work(scorer, make, where):
    error = ReferenceWithoutFace("no face")

    def fail(*_):
        raise error

    scheduler = make()
    one = work(1.0, 2.0, **{where: fail})
    with pytest.raises(ReferenceWithoutFace):
        scheduler.submit(one).result(5)
    assert scheduler.works == 0
    assert isinstance(scheduler.submit(work(30.0)).result(5).outcomes[0], Score)


def test_a_crash_fails_its_group_alone_and_the_next_batch_runs(scorer, make, caplog):
    scheduler = make()
    held(scorer, scheduler)
    good, bad = work(10.0), work(13.0, 20.0)
    for one in (good, bad):
        scheduler.submit(one)
    until(lambda: not good.pending and not bad.pending)
    scorer.open.set()
    assert isinstance(good.future.result(5).outcomes[0], Score)
    for outcome in bad.future.result(5).outcomes:
        assert isinstance(outcome, ScoringFailed)
        assert outcome.code == "scoring_failed"
        assert "secret" not in outcome.message
    assert isinstance(scheduler.submit(work(30.0)).result(5).outcomes[0], Score)
    assert "RuntimeError at" in caplog.text
    assert "secret" not in caplog.text


def test_a_reward_that_is_no_number_is_an_error_of_its_item(scorer, make):
    outcomes = make().submit(work(7.0, 51.0)).result(5).outcomes
    assert isinstance(outcomes[0], NonFiniteReward)
    assert outcomes[1].reward == 0.2


def test_even_an_exit_inside_the_model_leaves_no_future_open(scorer, make, monkeypatch):
    scheduler = make()
    monkeypatch.setattr(scorer, "forward", lambda batch: exec("raise SystemExit"))
    assert isinstance(scheduler.submit(work(1.0)).result(5).outcomes[0], ScoringFailed)
    monkeypatch.undo()
    assert isinstance(scheduler.submit(work(1.0)).result(5).outcomes[0], Score)


def test_a_model_that_answers_too_few_fails_the_batch(scorer, make, monkeypatch):
    scheduler = make()
    monkeypatch.setattr(scorer, "forward", lambda batch: list(batch)[:-1])
    assert all(isinstance(one, ScoringFailed) for one in scheduler.submit(work(1.0, 2.0)).result(5).outcomes)


def test_a_lost_device_is_told_and_fails_what_it_ran(scorer, make, monkeypatch):
    lost = []
    scheduler = make(on_lost=lost.append)

    def forward(batch):
        raise DeviceLost("cuda:0: an illegal memory access was encountered")

    monkeypatch.setattr(scorer, "forward", forward)
    outcomes = scheduler.submit(work(1.0, 2.0)).result(5).outcomes
    assert all(isinstance(one, DeviceLost) for one in outcomes)
    assert lost == ["cuda:0: an illegal memory access was encountered"]


def test_a_lost_device_is_told_once_and_never_used_again(scorer, make, monkeypatch):
    lost, calls = [], []
    scheduler = make(batch_tokens=1, on_lost=lost.append)

    def forward(batch):
        calls.append(batch)
        raise DeviceLost("cuda:0: an illegal memory access was encountered")

    monkeypatch.setattr(scorer, "forward", forward)
    for one in (work(1.0, 2.0), work(3.0)):
        assert all(isinstance(outcome, DeviceLost) for outcome in scheduler.submit(one).result(5).outcomes)
    assert len(lost) == len(calls) == 1


def test_an_answered_work_is_not_kept_until_the_next_one(scorer, make):
    scheduler = make()
    one = work(1.0)
    kept = weakref.ref(one)
    scheduler.submit(one).result(5)
    del one
    until(lambda: gc.collect() is not None and kept() is None)


def test_a_cancelled_work_never_reaches_the_model_wherever_it_is(scorer, make):
    scheduler = make()
    held(scorer, scheduler)
    prepared, preparing = work(98.0), work(99.0, prepare=lambda *_: time.sleep(0.05) or 99.0)
    rest = [work(*[20.0] * 4) for _ in range(3)]
    waiting, kept = work(97.0), work(10.0)
    for one in (prepared, preparing, *rest, waiting, kept):
        scheduler.submit(one)
    until(lambda: not prepared.pending)
    before = scheduler.works
    for one in (prepared, preparing, waiting):
        assert one.future.cancel()
    assert scheduler.works == before - 3
    scorer.open.set()
    kept.future.result(5)
    assert not {97.0, 98.0, 99.0} & {value for batch in scorer.batches for value in batch}
    with pytest.raises(CancelledError):
        waiting.future.result(0)


def test_late_work_is_dropped_before_it_costs_anything(scorer, make):
    scheduler = make()
    held(scorer, scheduler)
    soon = time.monotonic() + 0.05
    prepared = work(98.0, deadline=soon)
    rest = [work(*[20.0] * 4) for _ in range(3)]
    waiting = work(97.0, deadline=soon, resolve=lambda: pytest.fail("prepared"))
    for one in (prepared, *rest, waiting):
        scheduler.submit(one)
    time.sleep(0.1)
    scorer.open.set()
    for one in (prepared, waiting):
        with pytest.raises(DeadlineExceeded):
            one.future.result(5)
    for one in rest:
        one.future.result(5)
    assert not {97.0, 98.0} & {value for batch in scorer.batches for value in batch}


def test_closing_finishes_what_runs_and_refuses_what_waits(scorer, make):
    scheduler = make()
    running = held(scorer, scheduler)
    waiting = [work(10.0) for _ in range(12)]
    for one in waiting:
        scheduler.submit(one)
    closer = threading.Thread(target=scheduler.close)
    closer.start()
    for one in waiting:
        with pytest.raises(NotReady):
            one.future.result(5)
    scorer.open.set()
    closer.join(5)
    assert running.future.result(5).outcomes[0].reward == 0
    with pytest.raises(NotReady):
        scheduler.submit(work(1.0))


def test_the_measured_drain_is_what_was_worked(scorer, make, monkeypatch):
    drain = Drain(tokens_per_s=200, window_s=0.5)
    scheduler = make(drain=drain)
    monkeypatch.setattr(scorer, "forward", lambda batch: time.sleep(0.05 * len(batch)) or [0.5] * len(batch))
    for future in [scheduler.submit(work(*[20.0] * 4)) for _ in range(12)]:
        future.result(5)
    assert drain.tokens_per_s == pytest.approx(20, rel=0.3)


def test_many_threads_all_get_their_own_answer(make):
    scheduler = make(batch_tokens=16)
    values = [float(value) for value in range(20, 120)]
    results: dict[float, float] = {}

    def ask(value):
        results[value] = scheduler.submit(work(value)).result(10).outcomes[0].reward

    threads = [threading.Thread(target=ask, args=(value,)) for value in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert results == {value: value / 255 for value in values}


def test_no_future_stays_open_when_works_are_cancelled_at_random(scorer, make):
    scheduler = make(batch_tokens=8)
    works = [work(*[float(n % 60 + 20)] * (n % 5 + 1), priority=("rollout", "bulk")[n % 2]) for n in range(300)]

    def submit(some):
        for one in some:
            scheduler.submit(one)

    threads = [threading.Thread(target=submit, args=(works[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for one in works[::3]:
        one.future.cancel()
    for thread in threads:
        thread.join(5)
    for one in works:
        if not one.future.cancelled():
            assert len(one.future.result(5).outcomes) == len(one.prices)
    until(lambda: scheduler.works == 0)
