"""Scoring of a manifest with bounded concurrency: each item once, every result kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any

from ..base import RewardClient
from ..errors import (
    ConnectionFailed,
    InvalidRequest,
    ModelNotFound,
    NotReady,
    PermissionDenied,
    RewardError,
    Unauthenticated,
)
from ..messages import ModelInfo
from ..transports.http_errors import GatewayError
from ..wire.error_bodies import to_body
from .bulk_output import BulkOutput
from .manifest import BulkItem

# errors of the service, not of an item: the run ends, and the next one continues from there
_ENDS_THE_RUN = (ConnectionFailed, GatewayError, NotReady, Unauthenticated, PermissionDenied, ModelNotFound)


def select_model(infos: Iterable[ModelInfo], name: str | None) -> ModelInfo:
    """The model with this name, the default one for None. ModelNotFound lists the others."""
    infos = list(infos)
    for info in infos:
        if info.name == name or (name is None and info.default):
            return info
    served = ", ".join(info.name for info in infos) or "none"
    raise ModelNotFound(f"no {'default model' if name is None else f'model {name!r}'} here; served: {served}")


def check_same_model(output: BulkOutput, model: ModelInfo) -> None:
    """InvalidRequest if the file has scores of another model."""
    for record in output.records.values():
        stamp = record.get("model")
        if stamp is not None and stamp.get("fingerprint") != model.fingerprint:
            raise InvalidRequest(
                f"{output.path} holds scores of {stamp.get('name')} {str(stamp.get('fingerprint'))[:12]}, the service "
                f"answers with {model.name} {model.fingerprint[:12]}: give another -o"
            )


async def run_bulk(
    client: RewardClient,
    items: Iterable[BulkItem],
    output: BulkOutput,
    model: ModelInfo,
    *,
    concurrency: int,
    details: bool = False,
    on_result: Callable[[dict[str, Any]], None] = lambda record: None,
) -> None:
    """Score `items` and append a record for each. Raises an error of the service itself, which ends the run."""
    pending = iter(items)

    async def work() -> None:
        for item in pending:  # one iterator for all workers: each item goes to one of them
            record = await _score(client, item, model, details)
            output.append(record)
            on_result(record)

    workers = [asyncio.create_task(work()) for _ in range(concurrency)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def _score(client: RewardClient, item: BulkItem, model: ModelInfo, details: bool) -> dict[str, Any]:
    fields = item.line.model_dump(mode="json", include={"references", "video", "prompt"}, exclude_none=True)
    head = {"id": item.id, "item_sha256": item.item_sha256, **fields}
    try:
        response = await client.score(
            item.references,
            item.video,
            fps=item.line.fps,
            prompt=item.line.prompt,
            model=model.name,
            details=details,
        )
    except _ENDS_THE_RUN:
        raise
    except RewardError as error:
        return head | {"error": to_body(error).model_dump(mode="json")}
    if response.model.fingerprint != model.fingerprint:
        raise InvalidRequest(f"the service's model {model.name} changed during the run; start again with another -o")
    return head | response.model_dump(mode="json", exclude_none=True)
