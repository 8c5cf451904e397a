import gc
import threading
import weakref
from concurrent.futures import CancelledError

import pytest

from identity_reward_client.errors import DeadlineExceeded, NotReady, ReferenceWithoutFace, ScoringFailed
from service.scheduling.throughput import Throughput
from tests.service.scheduling.tasks import LIMIT_S, FakeClock, flush, group_task, occupy
from tests.support.waiting import wait_until


def rewards(task):
    return [result.score.reward for result in task.future.result(LIMIT_S)]


def test_waiting_tasks_are_scored_in_batches_of_whole_tasks(scorer, make_scheduler):
    scheduler = make_scheduler()
    occupy(scorer, scheduler)
    tasks = [group_task(*items) for items in ([10.0, 20.0], [30.0, 40.0], [50.0], [60.0] * 3, [70.0, 80.0])]
    for task in tasks:
        scheduler.submit(task)
    wait_until(lambda: all(task.ready for task in tasks[:3]))
    scorer.open.set()
    assert rewards(tasks[0]) == [10 / 255, 20 / 255]
    for task in tasks[1:]:
        assert len(rewards(task)) == len(task.prices)
    assert scorer.batches[:2] == [[0.0], [10.0, 20.0, 30.0, 40.0]]
    assert scorer.batches[2][0] == 50.0
    for batch in scorer.batches:
        assert batch.count(60.0) in (0, 3)
        assert (70.0 in batch) == (80.0 in batch)
        assert len(batch) <= 4
    assert tasks[1].queue_s > 0
    assert tasks[1].forward_s >= 0


def test_results_carry_the_frames_that_were_sampled(make_scheduler):
    (result,) = make_scheduler().submit(group_task(51.0)).result(LIMIT_S)
    assert (result.score.reward, result.error) == (0.2, None)
    assert (result.video.fps, result.video.num_source_frames, result.video.frame_indices) == (8.0, 6, (0, 2, 3, 5))


def test_two_batches_are_prepared_while_one_is_scored(scorer, make_scheduler):
    scheduler = make_scheduler()
    occupy(scorer, scheduler)
    tasks = [group_task(*[float(n)] * 4) for n in range(20, 25)]
    for task in tasks:
        scheduler.submit(task)
    wait_until(lambda: tasks[0].ready and tasks[1].ready)
    flush(scheduler)
    assert [task.num_unprepared for task in tasks] == [0, 0, 4, 4, 4]
    scorer.open.set()
    assert all(len(rewards(task)) == 4 for task in tasks)


def test_urgent_tasks_overtake_tasks_that_are_not_prepared_yet(scorer, make_scheduler):
    scheduler = make_scheduler()
    occupy(scorer, scheduler)
    bulk = [group_task(*[float(n)] * 4, priority="bulk") for n in range(20, 25)]
    for task in bulk:
        scheduler.submit(task)
    urgent = group_task(99.0, priority="rollout")
    scheduler.submit(urgent)
    scorer.open.set()
    for task in [*bulk, urgent]:
        rewards(task)
    order = [batch[0] for batch in scorer.batches]
    assert order.index(99.0) <= 3


def test_urgent_tasks_pass_ready_ones_a_bounded_number_of_times(scorer, make_scheduler):
    scheduler = make_scheduler(batch_tokens=1)
    occupy(scorer, scheduler)
    bulk = group_task(20.0, priority="bulk")
    scheduler.submit(bulk)
    urgent = [group_task(float(n), priority="rollout") for n in range(40, 60)]
    scheduler.submit(urgent[0])
    wait_until(lambda: bulk.ready and urgent[0].ready)
    remaining = iter(urgent[1:])

    def forward(batch):
        scorer.batches.append(list(batch))
        following = next(remaining, None)
        if following is not None:  # an urgent task is always ready
            scheduler.submit(following)
            wait_until(lambda: following.ready)
        return [value / 255 for value in batch]

    scorer.forward = forward
    scorer.open.set()
    for task in (bulk, *urgent):
        rewards(task)
    order = [batch[0] for batch in scorer.batches]
    assert order[1] == 40.0
    assert 2 < order.index(20.0) < 12


def test_urgent_tasks_do_not_wait_for_slow_preparation_of_less_urgent_ones(make_scheduler):
    scheduler = make_scheduler(batch_tokens=1, threads=8)
    decoded = threading.Event()
    bulk = [group_task(1.0, prepare=lambda _: decoded.wait(LIMIT_S) and 20.0, priority="bulk") for _ in range(3)]
    for task in bulk:
        scheduler.submit(task)
    urgent = group_task(99.0, priority="rollout")
    scheduler.submit(urgent)
    assert rewards(urgent) == [99 / 255]
    decoded.set()
    for task in bulk:
        assert rewards(task) == [20 / 255]


def test_urgent_tasks_are_scored_between_the_chunks_of_a_large_task(scorer, make_scheduler):
    scheduler = make_scheduler()
    large = group_task(*[20.0] * 16, priority="bulk")
    urgent = [group_task(float(n), priority="rollout") for n in range(40, 44)]

    def forward(batch):
        scorer.batches.append(list(batch))
        if len(scorer.batches) == 1:
            for task in urgent:
                scheduler.submit(task)
            wait_until(lambda: all(task.ready for task in urgent))
        return [value / 255 for value in batch]

    scorer.forward = forward
    scheduler.submit(large)
    assert len(rewards(large)) == 16
    assert [batch[0] for batch in scorer.batches] == [20.0, 40.0, 20.0, 20.0, 20.0]
    assert [rewards(task) for task in urgent] == [[n / 255] for n in range(40, 44)]


def test_a_task_over_the_budget_is_scored_and_reported_in_chunks(scorer, make_scheduler):
    reported = []
    task = group_task(
        *[float(n) for n in range(20, 30)],
        shared=1,
        on_result=lambda index, result: reported.append((index, len(scorer.batches))),
    )
    make_scheduler().submit(task)
    assert [reward * 255 for reward in rewards(task)] == pytest.approx(list(range(20, 30)))
    assert [len(batch) for batch in scorer.batches] == [3, 3, 3, 1]
    assert reported == [(index, index // 3 + 1) for index in range(10)]


def test_an_error_of_preparation_is_reported_before_the_other_videos_are_scored(scorer, make_scheduler):
    scheduler = make_scheduler()
    occupy(scorer, scheduler)
    reported = []
    task = group_task(ScoringFailed("this one"), 51.0, on_result=lambda index, result: reported.append(index))
    scheduler.submit(task)
    wait_until(lambda: task.ready)
    assert reported == [0]
    scorer.open.set()
    failed, scored = task.future.result(LIMIT_S)
    assert (failed.score, failed.error.message) == (None, "this one")
    assert scored.score.reward == 0.2


def test_the_model_is_not_run_if_every_preparation_fails(scorer, make_scheduler):
    results = make_scheduler().submit(group_task(ScoringFailed("a"), ValueError("secret"))).result(LIMIT_S)
    messages = [result.error.message for result in results]
    assert messages == ["a", "the model failed on this batch; the server's log says where"]
    assert not scorer.batches


@pytest.mark.parametrize("where", ["load_references", "prepare"])
def test_an_error_of_the_references_fails_the_whole_task(make_scheduler, where):
    def fail(*_):
        raise ReferenceWithoutFace("no face")

    scheduler = make_scheduler()
    with pytest.raises(ReferenceWithoutFace):
        scheduler.submit(group_task(1.0, 2.0, **{where: fail})).result(LIMIT_S)
    assert scheduler.num_tasks == 0
    following = group_task(30.0)
    scheduler.submit(following)
    assert rewards(following) == [30 / 255]


def test_a_finished_task_is_freed_before_the_next_one_comes(make_scheduler):
    task = group_task(1.0)
    reference = weakref.ref(task)
    make_scheduler().submit(task).result(LIMIT_S)
    del task
    wait_until(lambda: gc.collect() is not None and reference() is None)


def test_a_cancelled_task_never_reaches_the_model(scorer, make_scheduler):
    scheduler = make_scheduler(threads=3)
    occupy(scorer, scheduler)
    decoded = threading.Event()
    prepared, preparing = group_task(98.0), group_task(99.0, prepare=lambda _: decoded.wait(LIMIT_S) and 99.0)
    others = [group_task(*[20.0] * 4) for _ in range(3)]
    waiting, last = group_task(97.0), group_task(10.0)
    for task in (prepared, preparing, *others, waiting, last):
        scheduler.submit(task)
    wait_until(lambda: prepared.ready)
    before = scheduler.num_tasks
    for task in (prepared, preparing, waiting):
        assert task.future.cancel()
    assert scheduler.num_tasks == before - 3
    decoded.set()
    scorer.open.set()
    rewards(last)
    assert not {97.0, 98.0, 99.0} & {value for batch in scorer.batches for value in batch}
    with pytest.raises(CancelledError):
        waiting.future.result(0)


def test_an_expired_task_is_not_scheduled(scorer, make_scheduler, monkeypatch):
    clock = FakeClock(monkeypatch, "service.scheduling.call")
    scheduler = make_scheduler()
    occupy(scorer, scheduler)
    deadline = clock.now + 1
    prepared = group_task(98.0, deadline=deadline)
    others = [group_task(*[20.0] * 4) for _ in range(3)]
    waiting = group_task(97.0, deadline=deadline, load_references=lambda: pytest.fail("prepared"))
    for task in (prepared, *others, waiting):
        scheduler.submit(task)
    wait_until(lambda: prepared.ready)
    clock.now = deadline
    scorer.open.set()
    for task in (prepared, waiting):
        with pytest.raises(DeadlineExceeded):
            rewards(task)
    for task in others:
        rewards(task)
    assert not {97.0, 98.0} & {value for batch in scorer.batches for value in batch}


def test_closing_finishes_the_running_batch_and_fails_waiting_tasks(scorer, make_scheduler):
    scheduler = make_scheduler()
    running = occupy(scorer, scheduler)
    waiting = [group_task(10.0) for _ in range(12)]
    for task in waiting:
        scheduler.submit(task)
    closing = threading.Thread(target=scheduler.close)
    closing.start()
    for task in waiting:
        with pytest.raises(NotReady):
            rewards(task)
    scorer.open.set()
    closing.join(LIMIT_S)
    assert rewards(running) == [0]
    with pytest.raises(NotReady):
        scheduler.submit(group_task(1.0))


def test_throughput_is_measured_over_busy_time(scorer, make_scheduler, monkeypatch):
    clock = FakeClock(monkeypatch, "service.scheduling.scheduler", "service.scheduling.group_task")

    def forward(batch):
        clock.now += 0.05 * len(batch)
        return [0.5] * len(batch)

    monkeypatch.setattr(scorer, "forward", forward)
    throughput = Throughput(tokens_per_s=200, window_s=0.5)
    scheduler = make_scheduler(throughput=throughput)
    for future in [scheduler.submit(group_task(*[20.0] * 4)) for _ in range(12)]:
        future.result(LIMIT_S)
    assert throughput.tokens_per_s == pytest.approx(20, rel=0.3)


def test_concurrent_threads_get_their_own_results(make_scheduler):
    scheduler = make_scheduler(batch_tokens=16)
    values = [float(value) for value in range(20, 120)]
    results: dict[float, float] = {}

    def score(value):
        results[value] = scheduler.submit(group_task(value)).result(LIMIT_S)[0].score.reward

    threads = [threading.Thread(target=score, args=(value,)) for value in values]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_S)
    assert results == {value: value / 255 for value in values}


def test_every_future_is_resolved_when_tasks_are_cancelled_at_random(make_scheduler):
    scheduler = make_scheduler(batch_tokens=8)
    tasks = [group_task(*[float(n % 60 + 20)] * (n % 5 + 1), priority=("rollout", "bulk")[n % 2]) for n in range(300)]

    def submit(some):
        for task in some:
            scheduler.submit(task)

    threads = [threading.Thread(target=submit, args=(tasks[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for task in tasks[::3]:
        task.future.cancel()
    for thread in threads:
        thread.join(LIMIT_S)
    for task in tasks:
        if not task.future.cancelled():
            assert len(task.future.result(LIMIT_S)) == len(task.prices)
    wait_until(lambda: scheduler.num_tasks == 0)
