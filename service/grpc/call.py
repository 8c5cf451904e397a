"""What a gRPC call brings besides its message, and how its errors leave: status, ErrorInfo, RetryInfo."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, NoReturn

import grpc
from grpc_status.rpc_status import to_status as to_grpc

from identity_reward_client.errors import RewardError
from identity_reward_client.proto.status import to_status
from identity_reward_client.wire.headers import REQUEST_ID_HEADER

from ..engine.call_fields import read_call
from ..scheduling.call import Call

REQUEST_ID_KEY = REQUEST_ID_HEADER.lower()
# of an upload that is refused
_DISCARD_S = 5.0
_DISCARD_BYTES = 256 << 20


def texts(metadata: Any) -> dict[str, str]:
    """Metadata of text values by name; binary ones (names that end in -bin) are no business of ours."""
    return {key: value for key, value in metadata or () if isinstance(value, str)}


def address(peer: str) -> str:
    """The address in `ipv4:127.0.0.1:4711` or `ipv6:[::1]:4711`, whose brackets may come percent-encoded."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return kind or "unknown"
    return rest.rpartition(":")[0].replace("%5B", "").replace("%5D", "").strip("[]")


def make_call(context: Any, client: str | None, identity: str, timeout_s: float) -> Call:
    """`client` is who was authenticated, None for whoever has this address."""
    remaining_s = context.time_remaining()
    most_s = timeout_s if remaining_s is None else min(timeout_s, max(remaining_s, 0.0))
    name = address(context.peer()) if client is None else client
    return read_call(texts(context.invocation_metadata()), identity, name, most_s)


async def abort(context: Any, error: RewardError) -> NoReturn:
    """Ends the call with the error."""
    status = to_grpc(to_status(error))
    await context.abort(status.code, status.details, status.trailing_metadata)
    raise AssertionError("abort raises")


async def discard(upload: Any) -> None:
    """Reads the rest of an upload and lets go of it, up to a limit, before the call is ended with an error.

    Ended in the middle, the caller's gRPC would more often than not report a failed write instead of the error.
    """
    size = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_S):
            async for part in upload:
                size += len(part)
                if size > _DISCARD_BYTES:
                    return


def refusing_handler(error: RewardError, uploads: bool) -> grpc.RpcMethodHandler:
    """Answers any call with `error`; what it sends is not kept, and not even read unless it `uploads` in chunks."""

    async def refuse(incoming: Any, context: Any) -> None:
        if uploads:
            await discard(incoming)
        await abort(context, error)

    return grpc.stream_stream_rpc_method_handler(refuse)
