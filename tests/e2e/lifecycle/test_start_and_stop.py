"""Starting, refusing to start, and ending with every process."""

import signal
import socket

import httpx
import pytest

from tests.support.server import ROOT, have_ended
from tests.support.waiting import GENEROUS_S, wait_until

ARCFACE = ("--model", "arcface", "--port", "0")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "Ctrl-C"])
def test_a_signal_ends_every_process_with_exit_code_0(serve, number):
    # far longer than the test waits: nothing is being scored, so there is nothing to wait for
    server = serve(*ARCFACE, environment={"IDENTITY_REWARD_DRAIN_TIMEOUT_S": "600"}).wait_ready()
    assert server.out == [f"serving arcface (default) on {server.url}\n"]
    assert len(server.family) >= 2
    assert server.end(number) == 0
    assert have_ended(server.family)
    assert "".join(server.err) == "", "quiet unless something is wrong"
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.url)


def test_a_signal_while_models_load_ends_the_start(serve):
    server = serve(*ARCFACE)
    wait_until(lambda: len(server.process.children(recursive=True)) >= 2, "a worker loads its models")
    family = server.process.children(recursive=True)
    assert server.end(signal.SIGTERM) == 0
    assert have_ended(family)
    assert not server.out


def test_a_supervisor_that_misses_the_signal_during_the_start_is_killed(serve):
    """BentoML's supervisor may miss SIGTERM while it starts; before it is ready there is nothing to drain."""
    server = serve(*ARCFACE, environment={"IDENTITY_REWARD_DRAIN_TIMEOUT_S": "600"})
    [supervisor, *_] = wait_until(server.process.children, "the supervisor runs")
    supervisor.suspend()
    assert server.end(signal.SIGTERM) == 0
    assert have_ended([supervisor])


def test_the_server_ends_when_its_command_is_killed(serve):
    server = serve(*ARCFACE).wait_ready()
    server.process.kill()
    wait_until(lambda: have_ended(server.family), "every process has ended")


def test_a_model_that_fails_to_load_ends_the_start_with_one_line(serve):
    server = serve("--model", "tiny", "--port", "0", "--device", "cuda:99")
    assert server.wait() == 1
    lines = [line for line in server.err if line.startswith("identity-reward serve:")]
    assert len(lines) == 1
    assert "model 'tiny' can't be loaded on cuda:99" in lines[0]
    assert "Traceback" not in "".join(server.err)
    assert not server.out


def test_a_worker_that_dies_while_it_loads_ends_the_start(serve):
    """As when a device is lost or the kernel kills it; BentoML would start it again for ever."""
    server = serve(
        "--model", "dying", "--port", "0", environment={"PYTHONPATH": f"{ROOT / 'tests/support/scorers/site'}:{ROOT}"}
    )
    assert server.wait() == 1
    assert server.err[-1] == (
        "identity-reward serve: a server process died while starting; --verbose shows what it said\n"
    )
    assert not server.out


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
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
def test_a_wrong_configuration_is_one_line_before_anything_starts(serve, arguments, environment, message):
    server = serve("--port", "0", *arguments, environment=environment)
    assert server.wait() == 2
    assert len(server.err) == 1
    assert message in server.err[0]


def test_the_default_model_need_not_be_the_first(serve):
    server = serve("--model", "arcface", "--model", "arcface-minimum", "--default", "arcface-minimum", "--port", "0")
    server.wait_ready()
    assert server.out[0].startswith("serving arcface-minimum (default), arcface on http://127.0.0.1:")
    models = httpx.get(f"{server.url}/v1/models", timeout=GENEROUS_S).json()["models"]
    assert [model["name"] for model in models if model["default"]] == ["arcface-minimum"]
    assert server.end() == 0


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("--port", "--port (PORT= of make) chooses another, 0 a free one"),
        ("--grpc-port", "--grpc-port chooses another, 0 a free one"),
    ],
)
def test_a_port_in_use_is_one_line(serve, option, hint):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        other = "--port" if option == "--grpc-port" else "--grpc-port"
        server = serve("--model", "tiny", other, "0", option, str(port))
        assert server.wait() == 2
    assert server.err == [
        f"identity-reward serve: can't listen on 127.0.0.1 port {port}: Address already in use; {hint}\n"
    ]


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (["--port", "3987", "--grpc-port", "3987"], {}, "can't share port 3987"),
        (
            ["--port", "0", "--grpc-port", "0"],
            {"IDENTITY_REWARD_GRPC_TLS_CERT": "no.pem", "IDENTITY_REWARD_GRPC_TLS_KEY": "no.key"},
            "grpc_tls_cert no.pem can't be read",
        ),
        (["--port", "0"], {"IDENTITY_REWARD_GRPC_TLS_CERT": "no.pem"}, "go together"),
    ],
)
def test_a_wrong_grpc_configuration_is_one_line_before_anything_starts(serve, arguments, environment, message):
    server = serve("--model", "tiny", *arguments, environment=environment)
    assert server.wait() == 2
    assert len(server.err) == 1
    assert message in server.err[0]
