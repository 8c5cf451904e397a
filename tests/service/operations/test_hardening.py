"""The middleware around apps that misbehave, and what is shut off in BentoML."""

import asyncio
import logging

import pytest
from opentelemetry import trace
from opentelemetry.propagate import extract
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.testclient import TestClient

from identity_reward_client.errors import Overloaded
from service.http.application import EdgeMiddleware, find
from service.http.context import answer
from service.operations.hardening import QuietFilter, shut_off
from service.operations.metrics import Metrics
from tests.service.flat_settings import flat_settings


def client(app, **settings) -> TestClient:
    return TestClient(EdgeMiddleware(app, flat_settings(**settings), Metrics()), raise_server_exceptions=False)


def error(response) -> dict:
    assert set(response.json()) == {"error"}
    return response.json()["error"]


def test_a_crash_is_a_500_in_our_shape_without_its_text(caplog):
    async def crash(scope, receive, send):
        raise ValueError("a secret of the request")

    response = client(crash).get("/v1/models")
    assert (response.status_code, error(response)["code"]) == (500, "internal")
    assert "secret" not in response.text + caplog.text
    assert "ValueError at test_hardening.py" in caplog.text


def test_work_past_the_deadline_is_a_504_and_is_cancelled():
    cancelled = []

    async def slow(scope, receive, send):
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    response = client(slow, request_timeout_s=0.05).get("/v1/models")
    assert (response.status_code, error(response)["code"]) == (504, "deadline_exceeded")
    assert error(response)["retryable"] is True
    assert cancelled


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "invalid_request"), (404, "not_found"), (405, "method_not_allowed"), (415, "unsupported_media_type"),
     (418, "invalid_request"), (429, "rate_limited"), (500, "internal"), (503, "not_ready"),
     (504, "deadline_exceeded")],
)  # fmt: skip
def test_foreign_error_bodies_are_written_anew(status, code):
    response = client(PlainTextResponse("internal secret", status)).get("/v1/models")
    assert error(response)["code"] == code
    assert "secret" not in response.text
    if status in (429, 503):
        assert int(response.headers["retry-after"]) >= 1


def test_a_foreign_validation_body_keeps_its_fields():
    body = {"error": "1 validation error", "detail": [{"loc": ["video", "fps"], "msg": "Field required"}]}
    response = client(JSONResponse(body, 400)).get("/v1/models")
    assert error(response)["message"] == "video.fps: Field required"


def test_overload_carries_retry_after():
    async def overloaded(scope, receive, send):
        async def work():
            raise Overloaded("full", retry_after_s=7)

        await (await answer(work()))(scope, receive, send)

    response = client(overloaded).get("/v1/models")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "7"
    assert error(response)["retryable"] is True


def test_paths_outside_the_document_never_reach_the_app():
    for path in ("/docs.json", "/v1", "/v1/models/a/b", "/v1/models/", "/schema.json", "/%2e%2e/etc/passwd"):
        response = client(PlainTextResponse("reached")).get(path)
        assert (response.status_code, error(response)["code"]) == (404, "not_found"), path


@pytest.mark.parametrize(
    ("path", "label"),
    [("/v1/score", "/v1/score"), ("/v1/models/x", "/v1/models/{name}"), ("/v1/models", "/v1/models"), ("/", "/")],
)
def test_paths_are_counted_under_their_route(path, label):
    assert find(path, "GET")[0] == label


def test_a_callers_trace_flags_are_not_read():
    shut_off()
    carrier = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    assert not trace.get_current_span(extract(carrier)).get_span_context().is_valid


def test_only_json_can_be_deserialised():
    from _bentoml_impl import serde

    shut_off()
    assert set(serde.ALL_SERDE) == {"application/json"}
    with pytest.raises(ConnectionRefusedError), serde.make_safe_connect():
        pass


def test_logs_say_where_and_not_what():
    def record(error, name="x"):
        try:
            raise error
        except Exception as caught:
            return logging.LogRecord(name, 40, "f", 1, "failed", None, (type(caught), caught, caught.__traceback__))

    kept = record(ValueError("a secret"))
    assert QuietFilter().filter(kept)
    shown = logging.Formatter().format(kept)
    assert "ValueError at test_hardening.py" in shown
    assert "secret" not in shown
    assert "Traceback" not in shown

    from bentoml.exceptions import InvalidArgument

    assert not QuietFilter().filter(record(InvalidArgument("a secret"), "bentoml._internal.server.http_app"))
