import pytest

from benchmarks.support.harness import Row, gate, row


def test_a_row_is_the_medians_and_the_ratio_is_better_when_larger():
    done = row("x", "ms", "theirs", [0.1, 0.2, 0.3], [0.4, 0.4, 0.9], scale=1e3, goal=3.0, more_ms=7)
    assert done == Row("x", "ms", "theirs", 200, 400, 2.0, 3.0, (2.0, 4.0), None, {"more_ms": 7})


def test_a_gate_that_does_not_hold_ends_the_run():
    with pytest.raises(SystemExit, match="not measured: differs"):
        gate(False, "differs")
