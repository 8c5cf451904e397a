"""Tokens, limits, errors and counting around handlers that misbehave."""

import asyncio
from dataclasses import replace

import pytest
from pydantic import BaseModel
from starlette.websockets import WebSocketDisconnect

from identity_reward_client.errors import BY_CODE, CallerError, Overloaded, ServiceError
from service.auth import tokens
from service.http.routes import ROUTES, SCORE
from tests.service.http.conftest import echo, error_of


@pytest.fixture
def token_file(tmp_path):
    return tmp_path / "tokens"


@pytest.fixture
def token_of(token_file):
    """Token by scope, of a client `name-SCOPE`."""
    return {scope: tokens.create(token_file, f"name-{scope}", scope) for scope in tokens.SCOPES}


@pytest.fixture
def make_guarded(make_client, token_file, token_of):
    return lambda **settings: make_client(echo, tokens_path=token_file, **settings)


def send(client, route, token=None):
    path = route.path.replace("{name}", "tiny")
    authorization = {"Authorization": f"Bearer {token}"} if token else {}
    content_type = {"Content-Type": route.content_type} if route.request else {}
    return client.request(route.method, path, headers=authorization | content_type)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_needs_a_token_of_its_scope(make_guarded, token_of, route):
    client = make_guarded()
    for token in (None, "wrong"):
        response = send(client, route, token)
        assert (response.status_code, error_of(response)["code"]) == (401, "unauthenticated")
        assert response.headers["www-authenticate"] == "Bearer"
    assert send(client, route, token_of["admin"]).json()["client"] == "name-admin"
    response = send(client, route, token_of["score"])
    if route.scope == "score":
        assert response.json()["client"] == "name-score"
        assert token_of["score"] not in response.json()["request"]
    else:
        assert (response.status_code, error_of(response)["code"]) == (403, "permission_denied")


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/v1/score", "/metrics", "/no/such", "/docs.json", "//", "/v1/score/", "/METRICS"])
def test_401_comes_before_404_and_405(make_guarded, method, path):
    assert make_guarded().request(method, path).status_code == 401


def test_a_valid_token_gets_404_and_403(make_guarded, token_of):
    headers = {"Authorization": f"Bearer {token_of['score']}"}
    assert make_guarded().get("/no/such", headers=headers).status_code == 404
    assert make_guarded().delete("/metrics", headers=headers).status_code == 403


def test_the_body_is_not_read_before_the_token_is_checked(make_client, token_file, token_of):
    client = make_client(tokens_path=token_file, max_body_bytes=10)  # a body that is read is a 413
    response = client.post("/v1/score", content=b"x" * 99, headers={"Content-Type": "application/json"})
    assert response.status_code == 401
    assert response.headers["connection"] == "close"


def test_two_tokens_at_once_are_refused(make_guarded, token_of):
    both = [("Authorization", f"Bearer {token}") for token in token_of.values()]
    assert make_guarded().get("/v1/models", headers=both).status_code == 401


def test_a_token_in_the_url_is_ignored(make_guarded, token_of):
    query = f"token={token_of['score']}&access_token={token_of['score']}"
    assert make_guarded().get(f"/v1/models?{query}").status_code == 401


def test_probes_need_no_token_with_open_probes(make_guarded):
    client = make_guarded(open_probes=True)
    for route in ROUTES:
        assert send(client, route).status_code == (200 if route.path in ("/livez", "/readyz") else 401)


def test_without_tokens_the_address_is_the_client(make_client):
    client = make_client(echo)
    assert client.get("/metrics").json()["client"] == "testclient"
    assert client.get("/metrics", headers={"Authorization": "Bearer x"}).status_code == 200


def test_refused_tokens_are_counted(make_guarded, metrics, token_of):
    client = make_guarded()
    client.get("/v1/models")
    client.get("/metrics", headers={"Authorization": f"Bearer {token_of['score']}"})
    text = metrics.text().decode()
    assert 'identity_reward_errors_total{code="unauthenticated"} 1.0' in text
    assert 'identity_reward_errors_total{code="permission_denied"} 1.0' in text


def test_websockets_are_closed(make_client, make_guarded):
    for client in (make_guarded(), make_client(echo)):
        with pytest.raises(WebSocketDisconnect), client.websocket_connect("/v1/score"):
            pass


def test_a_crash_is_a_500_in_the_shape_of_errors_without_its_text(make_client, caplog):
    async def crash(request):
        raise ValueError("a secret of the request")

    response = make_client(crash).get("/v1/models")
    assert (response.status_code, error_of(response)["code"]) == (500, "internal")
    assert "secret" not in response.text + caplog.text
    assert "ValueError at test_application.py" in caplog.text


def test_a_handlers_own_timeout_is_not_the_requests(make_client):
    async def crash(request):
        raise TimeoutError

    response = make_client(crash).get("/v1/models")
    assert (response.status_code, error_of(response)["code"]) == (500, "internal")


def test_work_past_the_deadline_is_a_504_and_is_cancelled(make_client):
    cancelled = []

    async def slow(request):
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.append(True)
            raise

    response = make_client(slow, request_timeout_s=0.05).get("/v1/models")
    assert (response.status_code, error_of(response)["code"]) == (504, "deadline_exceeded")
    assert error_of(response)["retryable"] is True
    assert cancelled


@pytest.mark.parametrize(
    "code", [code for code, cls in BY_CODE.items() if issubclass(cls, CallerError | ServiceError)]
)  # fmt: skip
def test_every_error_has_its_status_and_code(make_client, code):
    async def fail(request):
        raise BY_CODE[code]("why", details={"number": 3})

    response = make_client(fail).get("/v1/models")
    assert response.status_code == BY_CODE[code].http_status
    expected = {"code": code, "message": "why", "retryable": BY_CODE[code].retryable, "details": {"number": 3}}
    assert error_of(response) == expected
    if response.status_code in (429, 503):
        assert int(response.headers["retry-after"]) >= 1


def test_a_body_that_is_no_message_names_the_fields(make_client):
    response = make_client().post("/v1/score", json={"colour": 1})
    assert (response.status_code, error_of(response)["code"]) == (400, "invalid_request")
    assert error_of(response)["message"].startswith("references: Field required; video: Field required")


def test_overload_carries_retry_after(make_client):
    async def overloaded(request):
        raise Overloaded("full", retry_after_s=7)

    response = make_client(overloaded).get("/v1/models")
    assert response.status_code == 503
    assert response.headers["retry-after"] == "7"
    assert error_of(response)["retryable"] is True


def test_paths_outside_the_table_never_reach_a_handler(make_client):
    for path in ("/docs.json", "/v1", "/v1/models/a/b", "/v1/models/", "/schema.json", "/%2e%2e/etc/passwd"):
        response = make_client(echo).get(path)
        assert (response.status_code, error_of(response)["code"]) == (404, "not_found"), path


def test_another_method_is_a_405_that_lists_the_right_ones(make_client):
    response = make_client(echo).put("/v1/jobs")
    assert (response.status_code, error_of(response)["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"] == "GET, HEAD, POST"


def test_a_message_is_answered_with_the_routes_status(make_client):
    class Made(BaseModel):
        number: int

    async def make(request):
        return Made(number=3)

    client = make_client(routes=[replace(SCORE, handler=make, request=None, status=202)])
    response = client.post("/v1/score")
    assert (response.status_code, response.json()) == (202, {"number": 3})
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-content-type-options"] == "nosniff"
