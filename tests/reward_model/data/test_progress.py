import pytest

from reward_model.data import progress as module
from reward_model.data.progress import progress, unseen


@pytest.fixture
def clock(monkeypatch):
    """The current time in seconds, set by the test."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_lines_are_written_every_few_seconds_and_at_the_end(clock, capsys):
    with progress("clips", 4) as steps:
        for seconds in (1, module.LINE_EVERY_S + 1, module.LINE_EVERY_S + 2, module.LINE_EVERY_S + 3):
            clock[0] = seconds
            steps.advance()
    assert capsys.readouterr().err.splitlines() == ["clips: 2/4, 21 s, 21 s left", "clips: 4/4, 23 s, 0 s left"]


def test_steps_of_an_earlier_run_do_not_count_in_the_estimate(clock, capsys):
    with progress("clips", 4) as steps:
        steps.begin(2)
        clock[0] = module.LINE_EVERY_S
        steps.advance()
    assert capsys.readouterr().err == "clips: 3/4, 20 s, 20 s left\n"


def test_unseen_progress_prints_nothing(capsys):
    with unseen("clips", 1) as steps:
        steps.begin(0)
        steps.advance()
    assert capsys.readouterr().err == ""
