import pytest

from benchmarks.support.harness import Row, gate, row


def test_row_has_medians_and_a_ratio_that_is_better_when_larger():
    result = row("x", "ms", "theirs", [0.1, 0.2, 0.3], [0.4, 0.4, 0.9], scale=1e3, goal=3.0, more_ms=7)
    assert result == Row("x", "ms", "theirs", 200, 400, 2.0, 3.0, (2.0, 4.0), None, {"more_ms": 7})


def test_failed_gate_ends_the_run():
    with pytest.raises(SystemExit, match="not measured: differs"):
        gate(False, "differs")
