"""The gRPC server: RewardService, health and reflection, on the engine of this process. Wiring only."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import SERVICE_NAME as HEALTH
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection

from identity_reward_client.errors import InternalError
from identity_reward_client.proto.methods import CHUNK_BYTES, SERVICE

from ..engine.engine import ScoringEngine
from ..operations.metrics import Metrics
from ..settings.settings import Settings, SettingsError
from .interceptors import Authenticate, GuardInterceptor, anyone
from .methods import RewardServiceMethods
from .tls import credentials

# prefix of a model's name in the health service; "" and the service's full name are the whole server
MODEL_HEALTH = "model/"
_MAX_MESSAGE_BYTES = (1 << 31) - 1  # gRPC's sizes are 32-bit
# seconds in which errors and responses that are being sent may be finished
_SENDING_GRACE_S = 0.5


class GrpcServer:
    """Serves from `start` to `stop`, on the event loop that calls both. The engine must be ready before.

    `authenticate` is called for every call of every method before its request is read.
    """

    def __init__(
        self, engine: ScoringEngine, settings: Settings, metrics: Metrics, authenticate: Authenticate = anyone
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._guard = GuardInterceptor(settings.grpc.max_calls, metrics, authenticate)
        self._health = health.HealthServicer()
        self._server = grpc.aio.server(
            interceptors=[self._guard],
            options=_options(settings),
            # gRPC counts calls that are still being read too, which the interceptor does not see
            maximum_concurrent_rpcs=2 * settings.grpc.max_calls + 16,
        )
        methods = RewardServiceMethods(engine, settings, metrics, self._guard)
        self._server.add_generic_rpc_handlers((methods.handlers(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((SERVICE, HEALTH, reflection.SERVICE_NAME), self._server)

    async def start(self) -> str:
        """Listens, and returns the address. Raises InternalError with the reason where it cannot."""
        host = self._settings.grpc.host
        displayed_host = f"[{host}]" if ":" in host else host
        address = f"{displayed_host}:{self._settings.grpc.port or 0}"
        try:
            keys = credentials(self._settings)
            if keys is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, keys)
        except SettingsError as error:
            raise InternalError(str(error)) from None
        except RuntimeError:
            raise InternalError(f"can't listen for gRPC on {address}; is the port taken?") from None
        for name in ("", SERVICE, *(MODEL_HEALTH + model.name for model in self._engine.models())):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        await self._server.start()
        return f"{displayed_host}:{port}"

    async def begin_drain(self, grace_s: float) -> None:
        """Refuses new calls, and returns when the running ones have ended; those that take over `grace_s` are ended.

        Health says NOT_SERVING. The port stays open, so that callers learn why and when to try again.
        """
        self._guard.draining = True
        await self._health.enter_graceful_shutdown()
        ended = asyncio.wait_for(self._guard.wait_idle(), grace_s + _SENDING_GRACE_S)
        with suppress(TimeoutError):
            await asyncio.gather(self._guard.in_flight.drained(grace_s), ended)

    async def stop(self) -> None:
        """Ends remaining calls and the connections; answers that are being sent arrive."""
        await self._server.stop(_SENDING_GRACE_S)


def _options(settings: Settings) -> list[tuple[str, int]]:
    keepalive_ms = int(settings.grpc.keepalive_s * 1000)
    max_received_bytes = min(max(settings.requests.max_body_bytes, 2 * CHUNK_BYTES), _MAX_MESSAGE_BYTES)
    return [
        ("grpc.so_reuseport", 0),  # a second server on the port fails instead of sharing connections
        ("grpc.max_receive_message_length", max_received_bytes),
        ("grpc.max_send_message_length", _MAX_MESSAGE_BYTES),
        ("grpc.keepalive_time_ms", keepalive_ms),
        ("grpc.keepalive_timeout_ms", keepalive_ms),
        ("grpc.http2.ping_timeout_ms", keepalive_ms),  # a minute otherwise, whatever keepalive_timeout_ms says
        ("grpc.keepalive_permit_without_calls", 1),
        # clients may ping as often as the server does; gRPC's default is one ping in five minutes
        ("grpc.http2.min_ping_interval_without_data_ms", min(keepalive_ms, 10_000)),
        ("grpc.http2.max_pings_without_data", 0),
    ]
