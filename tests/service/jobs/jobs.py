"""Manifests, results and stores for the tests of jobs."""

import json

from identity_reward_client.errors import ModelNotFound
from identity_reward_client.messages import Image, Video
from identity_reward_client.transports.jobs import encode_manifest
from identity_reward_client.wire.job_messages import JobItem
from service.jobs.store import JobStore


def item(number: int, reference: bytes = b"image", **more) -> JobItem:
    video = Video(data=b"video %d" % number * 100)
    return JobItem(**({"id": f"i{number}", "references": [Image(data=reference)], "video": video} | more))


def manifest(count: int, **more) -> bytes:
    return encode_manifest(item(n, **more) for n in range(count))


def model_name(model: str | None) -> str:
    if model == "gone":
        raise ModelNotFound("no model 'gone' here; served: tiny")
    return model or "tiny"


def body(line: int) -> str:
    return json.dumps({"line": line, "id": f"i{line - 1}", "error": {"code": "x", "message": ""}})


def count(store: JobStore, table: str) -> int:
    return store._db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
