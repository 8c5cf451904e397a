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

# files whose tests share server processes: they run in one worker, or each worker would start servers of its own
SHARED_SERVERS = (
    "tests/contract/",
    "tests/deploy/test_metrics.py",
    "tests/deploy/test_nginx",
    "tests/e2e/api/test_jobs.py",
    "tests/e2e/api/test_model_folders.py",
    "tests/e2e/api/test_remote_reward.py",
    "tests/e2e/api/test_routes.py",
    "tests/e2e/api/test_transports.py",
    "tests/e2e/hostile_inputs/test_details.py",
    "tests/e2e/hostile_inputs/test_pickles.py",
    "tests/e2e/lifecycle/test_decode_workers.py",
    "tests/e2e/load/test_disconnects.py",
    "tests/e2e/load/test_overload.py",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """With `pytest -n N --dist loadscope` a file's tests run in one worker, and so do those of one folder's servers."""
    from xdist.scheduler import LoadScopeScheduling

    class ByServer(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return file.split("/")[1] if file.startswith(SHARED_SERVERS) else file

    return ByServer(config, log)
