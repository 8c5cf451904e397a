"""Supervision of a small program in the place of `bentoml serve`; tests/e2e/lifecycle supervises servers."""

import sys
import threading
import time

import psutil
import pytest

from service.operations import supervisor
from service.operations.supervisor import StartFailed, SupervisedServer
from tests.service.flat_settings import flat_settings

PROLOGUE = """
import json, os, signal, subprocess, sys, time

def report(models=(), failed=None):
    path = os.environ["IDENTITY_REWARD_STATUS_PATH"]
    with open(path + ".draft", "w") as file:
        json.dump({"models": list(models), "failed": failed}, file)
    os.replace(path + ".draft", path)

"""
SERVE = "report(['tiny', 'compact']); time.sleep(600)"


@pytest.fixture
def supervise(monkeypatch, tmp_path):
    """Starts a program under supervision; it is stopped at the end of the test."""
    started = []

    def start(program: str, **settings) -> SupervisedServer:
        popen, command = psutil.Popen, [sys.executable, "-c", PROLOGUE + program]
        monkeypatch.setattr(supervisor.psutil, "Popen", lambda _, **options: popen(command, **options))
        server_settings = flat_settings(status_path=tmp_path / "status.json", **settings)
        started.append(
            SupervisedServer(server_settings, tmp_path, "127.0.0.1", 0, verbose=False, stop_now=threading.Event())
        )
        return started[-1]

    yield start
    for server in started:
        if server._process.is_running():
            server._stop_now.set()
            server.stop()


def processes(server) -> list[psutil.Process]:
    return [server._process, *server._process.children(recursive=True)]


def test_a_server_that_reports_is_ready_and_stops_whole(supervise):
    server = supervise("subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); " + SERVE)
    assert server.wait_ready(threading.Event()) == ["tiny", "compact"]
    family = processes(server)
    assert len(family) == 2
    server.stop()
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive


def test_a_reported_failure_is_the_reason(supervise):
    server = supervise("report(failed='no such model'); time.sleep(600)")
    with pytest.raises(StartFailed, match="the server could not start: no such model"):
        server.wait_ready(threading.Event())


def test_a_server_that_ends_by_itself_is_a_failure(supervise):
    with pytest.raises(StartFailed, match="ended by itself with code 3"):
        supervise("sys.exit(3)").wait_ready(threading.Event())


def test_a_worker_that_dies_while_starting_is_a_failure(supervise):
    worker = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(2)']); time.sleep(600)"
    with pytest.raises(StartFailed, match="a server process died while starting"):
        supervise(worker).wait_ready(threading.Event())


def test_a_failure_after_the_start_ends_the_wait(supervise):
    server = supervise(SERVE.replace("600", "0.5") + "; report(failed='the device is lost'); time.sleep(600)")
    server.wait_ready(threading.Event())
    with pytest.raises(StartFailed, match="the server has stopped: the device is lost"):
        server.wait(threading.Event())


def test_a_stop_before_it_is_ready_serves_no_models(supervise):
    stop = threading.Event()
    stop.set()
    assert supervise("time.sleep(600)").wait_ready(stop) == []


@pytest.mark.parametrize("impatient", [False, True])
def test_a_server_that_ignores_sigterm_is_killed(supervise, monkeypatch, impatient):
    if not impatient:
        monkeypatch.setattr(supervisor, "GRACE_S", 0.2)
    server = supervise("signal.signal(signal.SIGTERM, signal.SIG_IGN); " + SERVE, drain_timeout_s=600 * impatient)
    server.wait_ready(threading.Event())
    if impatient:
        server._stop_now.set()
    started = time.monotonic()
    server.stop()
    assert not server._process.is_running()
    assert time.monotonic() - started < 300, "the drain was waited for"
