"""gRPC beside HTTP, in the same process and on the same engine: RewardService, health and reflection. Wiring only.

`authenticate` is called for every call of every method before anything of its request is read.
"""

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
from .interceptors import Authenticate, Gate, anyone
from .methods import Methods
from .tls import credentials

# health of one model is that of this prefix and its name; that of the whole server is "" or the service's full name
MODEL_HEALTH = "model/"
_MOST_BYTES = (1 << 31) - 1  # gRPC's sizes are 32-bit
# to tell callers how their calls ended
_LAST_WORDS_S = 0.5


class GrpcServer:
    """Serves from `start` to `stop`, on the event loop that both are called on. The engine is ready before."""

    def __init__(
        self, engine: ScoringEngine, settings: Settings, metrics: Metrics, authenticate: Authenticate = anyone
    ):
        self._engine = engine
        self._settings = settings
        self._gate = Gate(settings.grpc.max_calls, metrics, authenticate)
        self._health = health.HealthServicer()
        self._server = grpc.aio.server(
            interceptors=[self._gate],
            options=_options(settings),
            # counts calls that are still being read, which the gate doesn't see
            maximum_concurrent_rpcs=2 * settings.grpc.max_calls + 16,
        )
        methods = Methods(engine, settings, metrics, self._gate)
        self._server.add_generic_rpc_handlers((methods.handlers(),))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((SERVICE, HEALTH, reflection.SERVICE_NAME), self._server)

    async def start(self) -> str:
        """The address that it listens on; InternalError, with the reason, where it can't."""
        host = self._settings.grpc.host
        shown = f"[{host}]" if ":" in host else host
        wanted = f"{shown}:{self._settings.grpc.port or 0}"
        try:
            keys = credentials(self._settings)
            if keys is None:
                port = self._server.add_insecure_port(wanted)
            else:
                port = self._server.add_secure_port(wanted, keys)
        except SettingsError as error:
            raise InternalError(str(error)) from None
        except RuntimeError:
            raise InternalError(f"can't listen for gRPC on {wanted}; is the port taken?") from None
        for name in ("", SERVICE, *(MODEL_HEALTH + model.name for model in self._engine.models())):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        await self._server.start()
        return f"{shown}:{port}"

    async def begin_drain(self, grace_s: float) -> None:
        """Health says NOT_SERVING, new calls are UNAVAILABLE; returns when those under way are done.

        So are those that take longer than `grace_s`. The port stays open meanwhile, so that callers hear why and when
        to come again.
        """
        self._gate.draining = True
        await self._health.enter_graceful_shutdown()
        ended = asyncio.wait_for(self._gate.wait_idle(), grace_s + _LAST_WORDS_S)
        with suppress(TimeoutError):
            await asyncio.gather(self._gate.in_flight.drained(grace_s), ended)

    async def stop(self) -> None:
        """Ends the calls that are left, and the connections; answers that are being sent arrive."""
        await self._server.stop(_LAST_WORDS_S)


def _options(settings: Settings) -> list[tuple[str, int]]:
    beat_ms = int(settings.grpc.keepalive_s * 1000)
    return [
        ("grpc.so_reuseport", 0),  # a second server on the port fails, instead of sharing the connections
        ("grpc.max_receive_message_length", min(max(settings.requests.max_body_bytes, 2 * CHUNK_BYTES), _MOST_BYTES)),
        ("grpc.max_send_message_length", _MOST_BYTES),
        ("grpc.keepalive_time_ms", beat_ms),
        ("grpc.keepalive_timeout_ms", beat_ms),
        ("grpc.http2.ping_timeout_ms", beat_ms),  # a minute otherwise, whatever keepalive_timeout_ms says
        ("grpc.keepalive_permit_without_calls", 1),
        # a client may ask as often as it is asked; gRPC's own limit is one ping in five minutes
        ("grpc.http2.min_ping_interval_without_data_ms", min(beat_ms, 10_000)),
        ("grpc.http2.max_pings_without_data", 0),
    ]
