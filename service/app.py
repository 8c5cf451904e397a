"""IdentityRewardService: BentoML's life cycle and the JSON POST routes on the engine. Wiring only."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import Any

import bentoml

from identity_reward_client.messages import CompareRequest, GroupRequest, ScoreRequest

from .auth.authenticator import Authenticator
from .auth.binding import check_address, check_sockets
from .engine.engine import ScoringEngine
from .errors import typed
from .grpc.interceptors import by_token
from .grpc.server import GrpcServer
from .http.application import EdgeMiddleware
from .http.context import answer, current
from .http.handlers import build
from .jobs.service import Jobs
from .operations.drain import InFlight, on_stop_signal
from .operations.hardening import shut_off
from .operations.logging import set_up
from .operations.metrics import Metrics
from .operations.status import report
from .settings.settings import Settings, SettingsError

log = logging.getLogger("identity_reward")
shut_off()
settings = Settings.load()
settings.forbid_respawn()
metrics = Metrics()
auth = Authenticator(settings.auth.tokens_path)
routes = build(metrics)
in_flight = InFlight()


def _lost(reason: str) -> None:
    """The device is gone: whoever supervises this process starts another."""
    report(settings, failed=f"the device is lost: {reason}")
    os.kill(os.getpid(), signal.SIGTERM)


@bentoml.service(
    name="identity_reward",
    workers=1,  # one process a device: two would fill half a batch each
    # ours answers first; this one would drop the connection's work without our error
    traffic={"timeout": settings.requests.request_timeout_s + 30},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},  # it has no request ids
)
@bentoml.asgi_app(routes, path="/", name="routes")
class IdentityRewardService:
    @bentoml.on_startup
    async def start(self) -> None:
        set_up(settings.operations.log_format == "json")
        self.engine = routes.state.engine = ScoringEngine(settings, metrics, _lost)
        self.grpc = None
        if settings.grpc.port is not None:
            self.grpc = GrpcServer(self.engine, settings, metrics, by_token(auth, settings.auth.open_probes))
        self.jobs: Jobs | None = None
        try:
            check_sockets(settings)
            auth.load()
            self.jobs = routes.state.jobs = await Jobs.open(settings, self.engine, metrics)
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
            report(settings, failed=typed(error).message)
            raise
        if self.jobs is not None:
            self.jobs.start()
        on_stop_signal(self.drain)
        report(settings, [info.name for info in self.engine.models()])

    async def drain(self) -> None:
        self.engine.begin_drain()
        within_s = settings.operations.drain_timeout_s
        drained = [in_flight.drained(within_s)]
        if self.grpc is not None:
            drained.append(self.grpc.begin_drain(within_s))
        if self.jobs is not None:
            drained.append(self.jobs.drain(within_s))
        await asyncio.gather(*drained)

    @bentoml.on_shutdown
    async def stop(self) -> None:
        if self.jobs is not None:
            await self.jobs.close()
        if self.grpc is not None:
            await self.grpc.stop()
        await self.engine.close()

    async def __is_ready__(self) -> bool:
        return self.engine.ready

    @bentoml.api(route="/v1/score")
    async def score(self, request: ScoreRequest, /) -> Any:
        return await answer(self.engine.score(request, current.get().call))

    @bentoml.api(route="/v1/compare")
    async def compare(self, request: CompareRequest, /) -> Any:
        return await answer(self.engine.compare(request, current.get().call))

    @bentoml.api(route="/v1/groups")
    async def groups(self, request: GroupRequest, /) -> Any:
        return await answer(self.engine.score_group(request, current.get().call))


IdentityRewardService.add_asgi_middleware(  # type: ignore[attr-defined]  # the decorator made it a bentoml.Service
    EdgeMiddleware, settings=settings, metrics=metrics, auth=auth, in_flight=in_flight,
    engine=lambda: getattr(routes.state, "engine", None),
)  # fmt: skip
