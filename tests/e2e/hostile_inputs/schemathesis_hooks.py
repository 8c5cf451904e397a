"""Hooks of schemathesis: requests that are scored, raw bodies, and checks that no schema expresses."""

import json
import struct

import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response, SerializationContext

from identity_reward_client.messages import GroupRequest
from identity_reward_client.wire import raw_body
from identity_reward_client.wire.job_messages import JSONL, NDJSON
from tests.support.grey_videos import grey_request, grey_video

SCORE = grey_request(100) | {"details": True}
BASE = {name: SCORE[name] for name in ("references", "details")}
GOOD = {
    "/v1/score": SCORE,
    "/v1/compare": BASE | {"video_a": grey_video(10), "video_b": grey_video(20)},
    "/v1/groups": BASE | {"videos": [grey_video(10), {"path": "/etc/passwd"}], "matrices": True},
    "/v1/groups:raw": BASE | {"videos": [grey_video(10), grey_video(20)], "matrices": True},
    "/v1/reference-sets": {"images": SCORE["references"]},
    "/v1/jobs": SCORE | {"id": "clip 1"},
}
# of bodies that aren't JSON
KINDS = {"/v1/groups:raw": raw_body.CONTENT_TYPE, "/v1/jobs": NDJSON}


@schemathesis.hook
def before_add_examples(context: HookContext, examples: list[Case]) -> None:
    """Random bytes are no image: without these no answer would ever be a reward."""
    if context.operation.path in GOOD and context.operation.method != "get":
        kind = KINDS.get(context.operation.path, "application/json")
        examples.append(context.operation.Case(body=GOOD[context.operation.path], media_type=kind))


@schemathesis.serializer(raw_body.CONTENT_TYPE)
def raw_group(context: SerializationContext, value) -> bytes:
    """The good body, or a safetensors file without tensors whose request is `value`."""
    if value == GOOD["/v1/groups:raw"]:
        return raw_body.encode(GroupRequest.model_validate(value))
    header = json.dumps({"__metadata__": {"request": json.dumps(value)}}).encode()
    return struct.pack("<Q", len(header)) + header


@schemathesis.serializer(NDJSON, JSONL)
def manifest(context: SerializationContext, value) -> bytes:
    """`value` as a line of JSON."""
    return json.dumps(value).encode() + b"\n"


@schemathesis.check
def good_requests_are_answered(context: CheckContext, response: Response, case: Case) -> None:
    if case.body == GOOD.get(case.operation.path, ...) and case.method in ("POST", "PUT"):
        assert response.status_code in (200, 202), response.text


@schemathesis.check
def headers_of_every_answer(context: CheckContext, response: Response, case: Case) -> None:
    assert response.headers["x-request-id"][0]
    assert response.headers["x-content-type-options"] == ["nosniff"]
    if response.status_code in (429, 503):
        assert int(response.headers["retry-after"][0]) >= 1
