"""Metadata and deadline of a gRPC call as a Call, and errors as its status with ErrorInfo and RetryInfo."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, NoReturn

import grpc
from grpc_status.rpc_status import to_status as to_grpc_status

from identity_reward_client.errors import RewardError
from identity_reward_client.proto.status import to_status
from identity_reward_client.wire.headers import REQUEST_ID_HEADER

from ..engine.call_fields import read_call
from ..scheduling.call import Call

REQUEST_ID_KEY = REQUEST_ID_HEADER.lower()
# limits on discarding a refused upload
_DISCARD_TIMEOUT_S = 5.0
_DISCARD_BYTES = 256 << 20


def text_metadata(metadata: Any) -> dict[str, str]:
    """Metadata by name, without binary values (names that end in -bin)."""
    return {key: value for key, value in metadata or () if isinstance(value, str)}


def peer_address(peer: str) -> str:
    """The address in `ipv4:127.0.0.1:4711` or `ipv6:[::1]:4711`, whose brackets may be percent-encoded."""
    kind, _, rest = peer.partition(":")
    if kind not in ("ipv4", "ipv6"):
        return kind or "unknown"
    return rest.rpartition(":")[0].replace("%5B", "").replace("%5D", "").strip("[]")


def read_grpc_call(context: Any, client: str | None, identity: str, max_timeout_s: float) -> Call:
    """The Call that the metadata and the deadline describe. Raises InvalidRequest.

    `client` is the name of the authenticated caller; None means the peer's address.
    """
    remaining_s = context.time_remaining()
    timeout_s = max_timeout_s if remaining_s is None else min(max_timeout_s, max(remaining_s, 0.0))
    name = peer_address(context.peer()) if client is None else client
    return read_call(text_metadata(context.invocation_metadata()), identity, name, timeout_s)


async def abort(context: Any, error: RewardError) -> NoReturn:
    """Ends the call with the error."""
    status = to_grpc_status(to_status(error))
    await context.abort(status.code, status.details, status.trailing_metadata)
    raise AssertionError("abort raises")


async def discard(upload: Any) -> None:
    """Reads and drops the rest of an upload, within limits, before the call ends with an error.

    A caller whose upload is cut off mostly sees a failed write instead of the error.
    """
    size = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(_DISCARD_TIMEOUT_S):
            async for part in upload:
                size += len(part)
                if size > _DISCARD_BYTES:
                    return


def refusing_handler(error: RewardError, is_upload: bool) -> grpc.RpcMethodHandler:
    """A handler that ends any call with `error`; it reads the request, and drops it, only if that comes in chunks."""

    async def refuse(incoming: Any, context: Any) -> None:
        if is_upload:
            await discard(incoming)
        await abort(context, error)

    return grpc.stream_stream_rpc_method_handler(refuse)
