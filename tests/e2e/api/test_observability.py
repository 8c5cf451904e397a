"""Observability of a running server: spans at a collector, log lines in JSON."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.grey_videos import grey_request, grey_video
from tests.support.media import b64
from tests.support.waiting import GENEROUS_S

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def collector():
    """An OTLP endpoint; `spans` holds the exported spans."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    server.spans.extend(scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_): ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.spans = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def watched(serve_slow, collector):
    """A server that answered a group and a malformed request, and then stopped: (the group's answer, log, spans)."""
    server = serve_slow(
        "--verbose", log_format="json", otlp_endpoint=f"http://127.0.0.1:{collector.server_port}/v1/traces"
    ).wait_ready()
    body = {
        "references": grey_request(1)["references"],
        "videos": [grey_video(20), grey_video(30)],
        "prompt": "a secret prompt",
    }
    headers = {"traceparent": PARENT, "X-Request-Id": "step-3", "Authorization": "Bearer secret-token"}
    with httpx.Client(base_url=server.url, timeout=GENEROUS_S) as client:
        answer = client.post("/v1/groups", json=body, headers=headers)
        client.post("/v1/score", json={"references": []}, headers={"X-Request-Id": "wrong"})
    assert answer.status_code == 200
    server.end()
    return answer.json(), "".join(server.err), collector.spans


def attributes(span) -> dict:
    return {item.key: item.value.string_value or item.value.int_value for item in span.attributes}


def test_a_request_is_a_span_of_the_callers_trace_with_its_stages_inside(watched):
    _, _, spans = watched
    (root,) = [span for span in spans if span.name == "score_group"]
    assert root.trace_id.hex() == PARENT.split("-")[1]
    assert root.parent_span_id.hex() == PARENT.split("-")[2]
    assert attributes(root) == {"request_id": "step-3", "priority": "interactive", "model": "slow", "videos": 2}
    stages = [span for span in spans if span.parent_span_id == root.span_id]
    assert sorted(span.name for span in stages) == [
        "decode", "decode", "decode", "forward", "preprocess", "preprocess", "queue"
    ]  # fmt: skip
    for span in stages:
        assert root.start_time_unix_nano - 1_000_000 <= span.start_time_unix_nano <= span.end_time_unix_nano
        assert span.end_time_unix_nano <= root.end_time_unix_nano + 1_000_000
    (forward,) = [span for span in stages if span.name == "forward"]
    assert forward.end_time_unix_nano - forward.start_time_unix_nano >= 50_000_000


def test_lines_are_json_with_request_ids(watched):
    answer, log, _ = watched
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    access = [line for line in lines if line["logger"] == "identity_reward.access"]
    by_id = {line["request_id"]: line for line in access}
    assert answer["request_id"] == "step-3"
    assert by_id["step-3"] == by_id["step-3"] | {"route": "/v1/groups", "status": 200, "priority": "interactive"}
    assert by_id["wrong"] == by_id["wrong"] | {"route": "/v1/score", "status": 400, "code": "invalid_request"}
    assert all(line["time"] and line["level"] for line in lines)


def test_neither_media_nor_prompts_nor_tokens_are_logged_or_traced(watched):
    _, log, spans = watched
    text = log + "".join(str(span) for span in spans)
    for secret in ("secret prompt", "secret-token", b64(b"abc"), grey_video(20)["frames"]["data"][:40]):
        assert secret not in text
