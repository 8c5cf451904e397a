"""What `identity-reward serve` refuses before it starts a server; tests/e2e/lifecycle runs servers."""

import socket

import pytest
import typer
from typer.testing import CliRunner

from service.cli import CannotServe, bind_once, serve

APP = typer.Typer()
APP.command()(serve)


def refusal(*arguments: str) -> str:
    """The one line of a command that ends with code 2."""
    result = CliRunner().invoke(APP, arguments)
    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    assert line.startswith("identity-reward serve: ")
    return line


def test_a_free_port_is_found():
    host, port = bind_once("localhost", 0)
    assert host in ("127.0.0.1", "::1")
    assert 0 < port < 65536


def test_a_taken_port_is_refused_with_the_option_that_chooses_another():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotServe, match=f"can't listen on 127.0.0.1 port {port}: .*; --grpc-port chooses"):
            bind_once("127.0.0.1", port, "--grpc-port")
        assert f"can't listen on 127.0.0.1 port {port}" in refusal("--model", "tiny", "--port", str(port))


def test_one_port_for_http_and_grpc_is_refused():
    _, port = bind_once("127.0.0.1", 0)
    line = refusal("--model", "tiny", "--port", str(port), "--grpc-port", str(port))
    assert f"HTTP and gRPC can't share port {port}" in line


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--model", "no-such-model"), "no-such-model"),
        (("--model", "tiny", "--default", "compact"), "compact"),
        (("--model", "tiny", "--host", "no-such-host.invalid"), "no-such-host.invalid is no address of this machine"),
        (("--model", "tiny", "--host", "0.0.0.0", "--port", "0"), "0.0.0.0 can be reached from other machines"),
        (("--model", "tiny", "--device", "tpu"), "device"),
    ],
)
def test_wrong_options_are_named(arguments, text):
    assert text in refusal(*arguments)
