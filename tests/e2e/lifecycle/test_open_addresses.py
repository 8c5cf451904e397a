"""Addresses and token files that would let in everybody or nobody end the start with one line."""

import os
import sys

import httpx
import psutil
import pytest

from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.server import end_with_children
from tests.support.waiting import wait_until


@pytest.mark.parametrize(
    ("arguments", "lines", "message"),
    [
        (["--host", "0.0.0.0"], None, "0.0.0.0 can be reached from other machines, and there are no tokens"),
        (["--host", "::"], None, ":: can be reached from other machines"),
        ([], "anna root x", "line 1: the scope must be one of score, admin"),
        ([], "gone", "No such file or directory"),
    ],
)
def test_open_address_or_unusable_token_file_ends_the_start(serve, tmp_path, arguments, lines, message):
    file = tmp_path / "tokens"
    if lines and lines != "gone":
        file.write_text(lines)
    environment = {"IDENTITY_REWARD_TOKENS_PATH": str(file)} if lines else {}
    server = serve("--model", "tiny", "--port", "0", *arguments, environment=environment)
    assert server.wait() == 2
    assert len(server.err) == 1
    assert message in server.err[0]


def test_bentoml_serve_refuses_an_open_address_too(tmp_path):
    port = free_port()
    command = [sys.executable, "-m", "bentoml", "serve", "service.app:IdentityRewardService", "--port", str(port)]
    environment = {**os.environ, "BENTOML_HOME": str(tmp_path), "IDENTITY_REWARD_MODELS": "tiny"}
    log = tmp_path / "log"
    with log.open("w") as file:
        server = psutil.Popen([*command, "--host", "0.0.0.0"], cwd=ROOT, env=environment, stdout=file, stderr=file)
    try:
        wait_until(lambda: "not started" in log.read_text() or server.poll() is not None, "the start is refused")
        assert "not started: 0.0.0.0 can be reached from other machines" in log.read_text()
        assert "Traceback" not in log.read_text()
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/livez", timeout=2)
    finally:
        end_with_children(server)
