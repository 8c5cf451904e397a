"""Starting, refusing to start, and going away whole."""

import signal
import socket
import time

import httpx
import psutil
import pytest

ARCFACE = ("--model", "arcface", "--port", "0")


def gone(family: list[psutil.Process]) -> bool:
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in family)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_signal_ends_every_process_and_the_code_is_0(serve, number):
    server = serve(*ARCFACE).wait_ready()
    assert server.out == [f"serving arcface (default) on {server.url}\n"]
    assert len(server.family) >= 2
    asked = time.monotonic()
    assert server.end(number) == 0
    assert time.monotonic() - asked < 8
    assert gone(server.family)
    assert "".join(server.err) == "", "quiet unless something is wrong"
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url)


def test_a_signal_during_the_start_ends_it_too(serve):
    server = serve(*ARCFACE)
    while len(server.process.children(recursive=True)) < 1:
        time.sleep(0.05)
    time.sleep(1)
    family = server.process.children(recursive=True)
    assert server.end(signal.SIGTERM) == 0
    assert gone(family)
    assert not server.out


def test_a_start_that_hears_no_signal_is_not_waited_for_as_a_drain(serve):
    """BentoML's supervisor may miss SIGTERM while it starts; before it is ready there is nothing to drain."""
    server = serve(*ARCFACE, environment={"IDENTITY_REWARD_DRAIN_TIMEOUT_S": "120"})
    while not (family := server.process.children()):
        time.sleep(0.05)
    family[0].suspend()
    assert server.end(signal.SIGTERM) == 0
    assert gone(family)


def test_the_server_goes_when_the_command_is_killed(serve):
    server = serve(*ARCFACE).wait_ready()
    server.process.kill()
    deadline = time.monotonic() + 10
    while not gone(server.family) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert gone(server.family)


def test_a_model_that_fails_to_load_ends_the_start_with_one_line(serve):
    server = serve("--model", "tiny", "--port", "0", "--device", "cuda:99")
    assert server.wait() == 1
    lines = [line for line in server.err if line.startswith("identity-reward serve:")]
    assert len(lines) == 1
    assert "model 'tiny' can't be loaded on cuda:99" in lines[0]
    assert "Traceback" not in "".join(server.err)
    assert not server.out


def test_a_process_that_dies_while_starting_ends_the_start(serve, tmp_path):
    """What a lost device or the kernel's memory killer does to a worker; BentoML would start it again for ever."""
    (tmp_path / "sitecustomize.py").write_text(
        "from reward_model.registry import SCORERS\nSCORERS['dying'] = 'dying:load'"
    )
    (tmp_path / "dying.py").write_text("import os\ndef load(device):\n    os._exit(9)")
    server = serve("--model", "dying", "--port", "0", environment={"PYTHONPATH": str(tmp_path)})
    assert server.wait() == 1
    assert server.err[-1] == (
        "identity-reward serve: a server process died while starting; --verbose shows what it said\n"
    )
    assert not server.out


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        (["--model", "gpt"], {}, "no model is called 'gpt'; there are arcface"),
        (["--model", "tests"], {}, "tests lacks config.json"),
        (["--model", "gone.onnx"], {}, "no model is called 'gone.onnx'; there are arcface"),
        (
            ["--model", "tiny", "--default", "arcface"],
            {},
            "default_model 'arcface' is not among the served models tiny",
        ),
        (["--model", "tiny", "--model", "tiny"], {}, "twice"),
        (["--device", "tpu"], {}, "device = 'tpu'"),
        (["--host", "no.such.host.invalid"], {}, "no.such.host.invalid is no address"),
        (["--host", "203.0.113.7"], {}, "can't listen on 203.0.113.7"),
        ([], {"IDENTITY_REWARD_MAX_BODY_BYTES": "lots"}, "max_body_bytes = 'lots'"),
        ([], {"IDENTITY_REWARD_MAX_BODYBYTES": "1"}, "did you mean IDENTITY_REWARD_MAX_BODY_BYTES?"),
        ([], {"IDENTITY_REWARD_MAX_WAITING_TOKENS": "0"}, "max_waiting_tokens = '0'"),
    ],
)
def test_a_wrong_configuration_is_one_line_before_anything_starts(serve, arguments, environment, says):
    server = serve("--port", "0", *arguments, environment=environment)
    assert server.wait() == 2
    assert len(server.err) == 1
    assert says in server.err[0]


def test_the_default_may_be_another_than_the_first(serve):
    server = serve("--model", "arcface", "--model", "arcface-minimum", "--default", "arcface-minimum", "--port", "0")
    server.wait_ready()
    assert server.out[0].startswith("serving arcface-minimum (default), arcface on http://127.0.0.1:")
    models = httpx.get(f"{server.url}/v1/models").json()["models"]
    assert [one["name"] for one in models if one["default"]] == ["arcface-minimum"]
    assert server.end() == 0


def test_a_port_that_is_taken_is_one_line(serve):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = serve("--model", "tiny", "--port", str(port))
        assert server.wait() == 2
    assert server.err == [
        f"identity-reward serve: can't listen on 127.0.0.1 port {port}: Address already in use; "
        "--port (PORT= of make) chooses another, 0 a free one\n"
    ]
