"""docs/explanation/benchmarks.md agrees with the committed reports."""

import json

from benchmarks import report


def test_committed_page_is_the_generated_one():
    assert report.PAGE.read_text() == report.page(), "run: python -m benchmarks.report"


def test_page_lists_missed_goals_and_unmeasured_rows(tmp_path):
    rows = [
        {"name": "slow", "unit": "ms", "ours": 2.0, "peer": 3.0, "peer_name": "theirs", "ratio": 1.5, "goal": 2.0},
        {"name": "fast", "unit": "ms", "ours": 1.0, "peer": 3.0, "peer_name": "theirs", "ratio": 3.0, "goal": 2.0},
        {"name": "absent", "unit": "us", "ours": None, "peer": None, "peer_name": "x", "ratio": None, "why": "no GPU"},
    ]
    machine = {"cpu": "a processor, 2 cores", "gpu": None, "torch": "2", "triton": None}
    content = {"benchmark": "NAME", "machine": machine, "commit": "0123456789abcdef+", "rows": rows}
    (tmp_path / "NAME.json").write_text(json.dumps(content))
    text = report.page(tmp_path)
    assert "a processor, 2 cores, no GPU, torch 2; commit 0123456789 with changes." in text
    assert "Goals missed: slow (1.50, not 2)." in text
    assert "**Not measured** (no GPU): `absent`." in text
    assert "| fast | 1 ms | 3 ms | theirs | 3.00 |  | 2 |" in text
