"""Fixtures and settings of the whole suite."""

import signal

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.support.fixtures"]

# a busy machine is no failure of a property
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")

# a shell ignores Ctrl-C in what runs in its background, and all that is started there inherits that; tests send it
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# fixtures of the session whose tests stay in one worker, or each worker would start servers of its own
SHARED_SERVERS = ("clients", "replicas", "slow_server", "server")


@pytest.hookimpl(tryfirst=True)  # xdist reads the marks in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """With `pytest -n N --dist loadgroup` a test runs in the worker of its shared server, or else of its file."""
    for item in items:
        definitions = item._fixtureinfo.name2fixturedefs
        shared = [name for name in SHARED_SERVERS if name in definitions and definitions[name][-1].scope != "module"]
        group = f"{definitions[shared[0]][-1].baseid}:{shared[0]}" if shared else item.location[0]
        item.add_marker(pytest.mark.xdist_group(group))
