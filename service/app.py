"""IdentityRewardService: BentoML's life cycle around the engine and both transports. Wiring only."""

from __future__ import annotations

import asyncio
import logging
import os
import signal

import bentoml
from starlette.types import ASGIApp, Receive, Scope, Send

from identity_reward_client.messages import (
    CompareRequest,
    CompareResponse,
    GroupRequest,
    GroupResponse,
    ScoreRequest,
    ScoreResponse,
)

from .auth.authenticator import Authenticator
from .auth.binding import check_address, check_sockets
from .engine.engine import ScoringEngine
from .errors import to_reward_error
from .grpc.interceptors import by_token
from .grpc.server import GrpcServer
from .http import protocol
from .http.application import HttpApplication
from .http.request import Services
from .http.routes import COMPARE, ROUTES, SCORE, SCORE_GROUP
from .jobs.service import Jobs
from .operations.drain import InFlight, on_stop_signal
from .operations.hardening import harden_bentoml
from .operations.logging import configure_logging
from .operations.metrics import Metrics
from .operations.status import report
from .settings.settings import Settings, SettingsError

log = logging.getLogger("identity_reward")
harden_bentoml()
protocol.install()
settings = Settings.load()
settings.forbid_respawn()
services = Services(Metrics())
authenticator = Authenticator(settings.auth.tokens_path)
in_flight = InFlight()
http_application = HttpApplication(ROUTES, services, settings, authenticator, in_flight)


def _stop_after_device_loss(reason: str) -> None:
    """Ends the process, so that its supervisor starts another."""
    report(settings, failed=f"the device is lost: {reason}")
    os.kill(os.getpid(), signal.SIGTERM)


class RequestsToHttpApplication:
    """Leaves the life cycle to BentoML's application and gives every request to `http_application`.

    A middleware, because BentoML puts mounted applications behind routes of its own, which need no token.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._bentoml_app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._bentoml_app if scope["type"] == "lifespan" else http_application)(scope, receive, send)


@bentoml.service(
    name="identity_reward",
    workers=1,  # one process for each device: two would fill half a batch each
    # longer than our own limit, which answers with an error; BentoML's drops the connection's work
    traffic={"timeout": settings.requests.request_timeout_s + 30},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},  # without request ids; operations.logging writes its own
)
class IdentityRewardService:
    """One engine with its HTTP and gRPC servers.

    The API methods describe the service in a Bento's manifest; over HTTP, `http_application` answers their routes.
    """

    @bentoml.on_startup
    async def start(self) -> None:
        configure_logging(settings.operations.log_format == "json")
        self.engine = services.engine = ScoringEngine(settings, services.metrics, _stop_after_device_loss)
        self.grpc: GrpcServer | None = None
        if settings.grpc.port is not None:
            authenticate = by_token(authenticator, settings.auth.open_probes)
            self.grpc = GrpcServer(self.engine, settings, services.metrics, authenticate)
        self.jobs: Jobs | None = None
        try:
            check_sockets(settings)
            authenticator.load()
            self.jobs = services.jobs = await Jobs.open(settings, self.engine, services.metrics)
            await asyncio.to_thread(self.engine.start)
            if self.grpc is not None:
                check_address(settings, settings.grpc.host)
                address = await self.grpc.start()
                if settings.grpc.port == 0:
                    log.info("gRPC listens on %s", address)
        except SettingsError as error:
            log.error("not started: %s", error)
            report(settings, failed=str(error))
            raise
        except Exception as error:
            report(settings, failed=to_reward_error(error).message)
            raise
        if self.jobs is not None:
            self.jobs.start()
        on_stop_signal(self.drain)
        report(settings, [info.name for info in self.engine.models()])

    async def drain(self) -> None:
        self.engine.begin_drain()
        timeout_s = settings.operations.drain_timeout_s
        drained = [in_flight.drained(timeout_s)]
        if self.grpc is not None:
            drained.append(self.grpc.begin_drain(timeout_s))
        if self.jobs is not None:
            drained.append(self.jobs.drain(timeout_s))
        await asyncio.gather(*drained)

    @bentoml.on_shutdown
    async def stop(self) -> None:
        if self.jobs is not None:
            await self.jobs.close()
        if self.grpc is not None:
            await self.grpc.stop()
        await self.engine.close()

    @bentoml.api(route=SCORE.path)
    async def score(self, request: ScoreRequest, /) -> ScoreResponse:
        return await self.engine.score(request)

    @bentoml.api(route=COMPARE.path)
    async def compare(self, request: CompareRequest, /) -> CompareResponse:
        return await self.engine.compare(request)

    @bentoml.api(route=SCORE_GROUP.path)
    async def groups(self, request: GroupRequest, /) -> GroupResponse:
        return await self.engine.score_group(request)


IdentityRewardService.add_asgi_middleware(RequestsToHttpApplication)  # type: ignore[attr-defined]  # a bentoml.Service
