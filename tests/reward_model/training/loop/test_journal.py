import json

from reward_model.training.loop.journal import METRICS, Journal, read_metrics


def test_resumed_journal_drops_lines_from_its_first_step_on(tmp_path):
    first = Journal(tmp_path, 0, 4)
    for step in range(3):
        first.step(step, loss=float(step))
    first.record(2, dev={"loss": 0.5})
    first.close()
    resumed = Journal(tmp_path, 2, 4)
    resumed.step(2, loss=7.0)
    resumed.close()
    assert [(line["step"], line["loss"]) for line in read_metrics(tmp_path)] == [(0, 0.0), (1, 1.0), (2, 7.0)]


def test_a_measurement_before_the_first_step_is_kept_unless_the_run_begins_again(tmp_path):
    for first, expected in ((0, [-1, 0]), (1, [-1, 0, 1]), (0, [-1, 0])):
        journal = Journal(tmp_path, first, 4)
        if first == 0:
            journal.record(-1, dev={"loss": 0.5})
        journal.step(first, loss=1.0)
        journal.close()
        assert [line["step"] for line in read_metrics(tmp_path)] == expected


def test_truncated_last_line_is_ignored(tmp_path):
    (tmp_path / METRICS).write_text(json.dumps({"step": 0, "loss": 1.0}) + '\n{"step": 1, "lo')
    assert read_metrics(tmp_path) == [{"step": 0, "loss": 1.0}]
    assert read_metrics(tmp_path / "nowhere") == []


def test_an_inactive_journal_writes_nothing(tmp_path):
    journal = Journal(tmp_path, 0, 2, active=False)
    journal.step(0, loss=1.0)
    journal.say("a line")
    journal.close()
    assert not list(tmp_path.iterdir())
