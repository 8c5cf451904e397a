"""What does not hold yet, by check. Only what is listed here may fail, and the lists only shrink."""

PENDING: dict[str, set[str]] = {
    "circles between siblings": set(),
    "large folders": {
        "benchmarks",
    },
    "long files": set(),
    "modules without a test file": {
        "service/app.py",
        "service/operations/supervisor.py",
    },
    "shared class names": {
        "Scored",
    },
    "test files without a source": set(),
}


def check_pending(check: str, failing: list[str]) -> None:
    unexpected = sorted(set(failing) - PENDING.get(check, set()))
    assert not unexpected, f"{check}: {unexpected}"
