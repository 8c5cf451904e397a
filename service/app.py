"""IdentityRewardService: BentoML's life cycle and the JSON POST routes on the engine. Wiring only."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import bentoml

from identity_reward_client.messages import CompareRequest, GroupRequest, ScoreRequest

from .auth import Authenticator
from .binding import check_sockets
from .engine import ScoringEngine
from .exchange import answer, current
from .failures import typed
from .hardening import quiet_logs, shut_off
from .metrics import Metrics
from .middleware import EdgeMiddleware
from .routes import build
from .settings import Settings, SettingsError
from .status import report

log = logging.getLogger("identity_reward")
shut_off()
settings = Settings.from_environment()
metrics = Metrics()
auth = Authenticator(settings.tokens_path)
routes = build(metrics)


@bentoml.service(
    name="identity_reward",
    workers=1,  # one process a device: two would fill half a batch each
    # ours answers first; this one would drop the connection's work without our error
    traffic={"timeout": settings.request_timeout_s + 30},
    metrics={"enabled": False},
    logging={"access": {"enabled": settings.access_log}},
)
@bentoml.asgi_app(routes, path="/", name="routes")
class IdentityRewardService:
    @bentoml.on_startup
    async def start(self) -> None:
        quiet_logs()
        self.engine = routes.state.engine = ScoringEngine(settings, metrics)
        try:
            check_sockets(settings)
            auth.load()
            await asyncio.to_thread(self.engine.start)
        except SettingsError as error:
            log.error("not started: %s", error)
            report(settings, failed=str(error))
            raise
        except Exception as error:
            report(settings, failed=typed(error).message)
            raise
        report(settings, [info.name for info in self.engine.models()])

    @bentoml.on_shutdown
    async def stop(self) -> None:
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
    EdgeMiddleware, settings=settings, metrics=metrics, auth=auth
)
