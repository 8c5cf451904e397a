"""Scoring a manifest: bounded concurrency, each item once, every outcome kept."""

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
from ..transports.http_errors import GatewayAnswer
from ..wire.error_bodies import to_body
from .bulk_output import BulkOutput
from .manifest import BulkItem

# about the service, not about an item: the run ends, and goes on from here when started again
_ENDS_THE_RUN = (ConnectionFailed, GatewayAnswer, NotReady, Unauthenticated, PermissionDenied, ModelNotFound)


def chosen_model(infos: Iterable[ModelInfo], name: str | None) -> ModelInfo:
    infos = list(infos)
    for info in infos:
        if info.name == name or (name is None and info.default):
            return info
    served = ", ".join(info.name for info in infos) or "none"
    raise ModelNotFound(f"no {'default model' if name is None else f'model {name!r}'} here; served: {served}")


def check_same_model(output: BulkOutput, model: ModelInfo) -> None:
    """Scores of different models are never mixed in one file."""
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
    on_done: Callable[[dict[str, Any]], None] = lambda record: None,
) -> None:
    """Scores `items` and appends a record for each. An error of the service itself ends the run and is raised."""
    waiting = iter(items)

    async def work():
        for item in waiting:  # one iterator for all workers: no item goes to two
            record = await _score(client, item, model, details)
            output.append(record)
            on_done(record)

    workers = [asyncio.create_task(work()) for _ in range(concurrency)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


async def _score(client: RewardClient, item: BulkItem, model: ModelInfo, details: bool) -> dict[str, Any]:
    said = item.line.model_dump(mode="json", include={"references", "video", "prompt"}, exclude_none=True)
    head = {"id": item.id, "item_sha256": item.item_sha256, **said}
    try:
        answer = await client.score(
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
    if answer.model.fingerprint != model.fingerprint:
        raise InvalidRequest(f"the service's model {model.name} changed during the run; start again with another -o")
    return head | answer.model_dump(mode="json", exclude_none=True)
