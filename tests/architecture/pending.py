"""What does not hold yet, by check. Only what is listed here may fail, and the lists only shrink."""

import warnings

PENDING: dict[str, set[str]] = {
    "large folders": {
        "benchmarks",
    },
    "modules without a test file": {
        "service/app.py",
    },
}


def check_pending(check: str, failing: list[str]) -> None:
    """Fail for what is not listed; warn of what is listed although it holds by now."""
    listed = PENDING.get(check, set())
    unexpected = sorted(set(failing) - listed)
    assert not unexpected, f"{check}: {unexpected}"
    if settled := sorted(listed - set(failing)):
        warnings.warn(f"{check}: take these from the list, they hold by now: {settled}", stacklevel=2)
