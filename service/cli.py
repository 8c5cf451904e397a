"""`identity-reward serve`: checks the configuration, then runs and supervises BentoML."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import socket
import tempfile
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

from identity_reward_client.errors import ModelNotFound

from .auth.authenticator import Authenticator
from .auth.binding import check_address
from .engine.loading import check_names, locate
from .grpc.tls import check_tls
from .operations.supervisor import StartFailed, SupervisedServer
from .settings.settings import Settings, SettingsError


class CannotServe(Exception):
    """An option or an installation that cannot be served. The message is one line."""


def serve(
    model: Annotated[
        list[str] | None, typer.Option(help="A model to serve: a name, a folder or an ArcFace .onnx; may be repeated.")
    ] = None,
    default: Annotated[
        str | None, typer.Option(help="The model of requests that name none; the first --model.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 3000,
    grpc_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Port of gRPC beside HTTP; 0 takes a free one.")
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda or cuda:N; faces need onnxruntime-gpu there, else the CPU is used.")
    ] = None,
    dtype: Annotated[str | None, typer.Option(help="float32 or bfloat16, for models in folders.")] = None,
    deterministic: Annotated[
        bool, typer.Option("--deterministic", help="On CUDA, the same bits for a video in any batch.")
    ] = False,
    allow_anonymous: Annotated[
        bool, typer.Option("--allow-anonymous", help="Allow another --host than loopback without tokens.")
    ] = False,
    jobs: Annotated[
        Path | None, typer.Option(help="File to keep bulk jobs in, over restarts; without it none are taken.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Log every request and what BentoML says.")] = False,
) -> None:
    """Serve reward models over HTTP until Ctrl-C or SIGTERM."""
    home = Path(tempfile.mkdtemp(prefix="identity-reward-"))
    try:
        settings = _settings(
            inference={
                "models": tuple(model) if model else None,
                "default_model": default,
                "device": device,
                "dtype": dtype,
                "deterministic": deterministic or None,
            },
            grpc={"port": grpc_port},
            auth={"allow_anonymous": allow_anonymous or None},
            jobs={"jobs_path": jobs},
            operations={"access_log": verbose or None, "status_path": home / "status.json"},
        )
        check_names(settings.inference.models)
        if importlib.util.find_spec("bentoml") is None:
            raise CannotServe('BentoML is not installed; pip install "identity-reward[serve,faces]"')
        address, port = bind_once(host, port)
        check_address(settings, address)
        Authenticator(settings.auth.tokens_path).load()
        if settings.grpc.port is not None:
            check_tls(settings)
            grpc_host, grpc_port = bind_once(host, settings.grpc.port, "--grpc-port")
            while grpc_port == port and not settings.grpc.port:  # the free port may be HTTP's
                grpc_host, grpc_port = bind_once(host, 0, "--grpc-port")
            if grpc_port == port:
                raise CannotServe(f"HTTP and gRPC can't share port {port}; --grpc-port 0 takes a free one")
            settings = settings.replace("grpc", host=grpc_host, port=grpc_port)
        _run(settings, home, address, port, verbose)
    except (CannotServe, ModelNotFound, SettingsError, StartFailed) as error:
        typer.echo(f"identity-reward serve: {error}", err=True)
        raise typer.Exit(1 if isinstance(error, StartFailed) else 2) from None
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _settings(**groups: dict[str, Any]) -> Settings:
    """The environment's settings with the options that were given over them; paths are made absolute."""
    settings = Settings.load(
        **{
            group: {name: value for name, value in fields.items() if value is not None}
            for group, fields in groups.items()
        }
    )
    settings = settings.replace(
        "inference",
        models=tuple(locate(name) for name in settings.inference.models),
        default_model=locate(settings.inference.default),
    )
    return settings.replace("jobs", jobs_path=settings.jobs.jobs_path and settings.jobs.jobs_path.absolute())


def bind_once(host: str, port: int, option: str = "--port (PORT= of make)") -> tuple[str, int]:
    """The numeric address and the port of `host` and `port`, bound once as a test: BentoML would fail late, or hang."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise CannotServe(f"{host} is no address of this machine: {error.strerror}") from None
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            raise CannotServe(
                f"can't listen on {host} port {port}: {error.strerror}; {option} chooses another, 0 a free one"
            ) from None
        return probe.getsockname()[0], probe.getsockname()[1]


def _run(settings: Settings, home: Path, host: str, port: int, verbose: bool) -> None:
    stop, stop_now = threading.Event(), threading.Event()

    def on_signal(*_: object) -> None:
        (stop_now if stop.is_set() else stop).set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    with SupervisedServer(settings, home, host, port, verbose=verbose, stop_now=stop_now) as server:
        if names := server.wait_ready(stop):
            displayed_host = f"[{host}]" if ":" in host else host
            typer.echo(f"serving {', '.join([f'{names[0]} (default)', *names[1:]])} on http://{displayed_host}:{port}")
            if settings.grpc.port is not None:
                scheme = "grpc" if settings.grpc.tls_cert is None else "grpcs"
                typer.echo(f"and on {scheme}://{displayed_host}:{settings.grpc.port}")
            server.wait(stop)
