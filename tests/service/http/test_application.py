"""Tokens at the edge of HTTP: before the body, before paths are told apart, and never further in."""

import pytest
from starlette.responses import JSONResponse
from starlette.testclient import TestClient

from service.auth import tokens
from service.http.application import EdgeMiddleware
from service.http.context import current
from service.http.openapi import ROUTES, document
from service.operations.metrics import Metrics
from service.settings.settings import Settings, SettingsError
from tests.service.flat_settings import flat_settings


async def app(scope, receive, send):
    names = [name.decode() for name, _ in scope["headers"]]
    await JSONResponse({"client": current.get().call.client, "headers": names})(scope, receive, send)


@pytest.fixture
def made(tmp_path):
    file = tmp_path / "tokens"
    return file, {scope: tokens.create(file, f"name-{scope}", scope) for scope in tokens.SCOPES}


@pytest.fixture
def edge(made):
    def client(**settings) -> TestClient:
        given = flat_settings(**{"tokens_path": made[0]} | settings)
        return TestClient(EdgeMiddleware(app, given, Metrics()), raise_server_exceptions=False)

    return client


def ask(client, route, token=None, method=None, **headers):
    path = route.path.replace("{name}", "tiny")
    given = {"Authorization": f"Bearer {token}"} if token else {}
    kind = {"Content-Type": route.content_type} if route.request else {}
    return client.request(method or route.method, path, headers=given | kind | headers)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_asks_for_a_token_of_its_scope(edge, made, route):
    client = edge()
    for token in (None, "wrong"):
        answer = ask(client, route, token)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
    assert ask(client, route, made[1]["admin"]).json()["client"] == "name-admin"
    scored = ask(client, route, made[1]["score"])
    if route.scope == "score":
        assert scored.json() == {"client": "name-score", "headers": scored.json()["headers"]}
        assert "authorization" not in scored.json()["headers"]
    else:
        assert (scored.status_code, scored.json()["error"]["code"]) == (403, "permission_denied")


def test_only_what_operates_the_server_takes_admin():
    assert {route.path for route in ROUTES if route.scope == "admin"} == {"/metrics"}


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/v1/score", "/metrics", "/no/such", "/docs.json", "//", "/v1/score/", "/METRICS"])
def test_401_comes_before_404_and_405(edge, method, path):
    assert edge().request(method, path).status_code == 401


def test_a_known_token_gets_404_and_405(edge, made):
    given = {"Authorization": f"Bearer {made[1]['score']}"}
    assert edge().get("/no/such", headers=given).status_code == 404
    assert edge().delete("/metrics", headers=given).status_code == 403


def test_the_body_is_not_read_before_the_token(edge):
    client = edge(max_body_bytes=10)  # or it were a 413
    answer = client.post("/v1/score", content=b"x" * 99, headers={"Content-Type": "application/json"})
    assert answer.status_code == 401
    assert answer.headers["connection"] == "close"


def test_two_tokens_at_once_are_none(edge, made):
    both = [("Authorization", f"Bearer {token}") for token in made[1].values()]
    assert edge().get("/v1/models", headers=both).status_code == 401


def test_a_token_in_the_url_is_none(edge, made):
    assert edge().get(f"/v1/models?token={made[1]['score']}&access_token={made[1]['score']}").status_code == 401


def test_probes_may_be_open(edge, made):
    client = edge(open_probes=True)
    for route in ROUTES:
        wanted = 200 if route.path in ("/livez", "/readyz") else 401
        assert ask(client, route).status_code == wanted


def test_without_tokens_the_address_is_the_client():
    client = TestClient(EdgeMiddleware(app, Settings(), Metrics()))
    assert client.get("/metrics").json()["client"] == "testclient"
    assert client.get("/metrics", headers={"Authorization": "Bearer x"}).status_code == 200


def test_failed_attempts_are_counted(made):
    metrics = Metrics()
    client = TestClient(EdgeMiddleware(app, flat_settings(tokens_path=made[0]), metrics))
    client.get("/v1/models")
    client.get("/metrics", headers={"Authorization": f"Bearer {made[1]['score']}"})
    text = metrics.text().decode()
    assert 'identity_reward_errors_total{code="unauthenticated"} 1.0' in text
    assert 'identity_reward_errors_total{code="permission_denied"} 1.0' in text


def test_the_document_says_which_token():
    paths = document()["paths"]
    assert document()["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert paths["/metrics"]["get"]["security"] == [{"token": ["admin"]}, {}]
    for route in ROUTES:
        operation = paths[route.path][route.method.lower()]
        assert operation["security"][0] == {"token": [route.scope]}
        assert {"401", "403"} <= set(operation["responses"])


def test_websockets_end_at_the_edge(edge):
    from starlette.websockets import WebSocketDisconnect

    for settings in ({}, {"tokens_path": None}):
        with pytest.raises(WebSocketDisconnect), edge(**settings).websocket_connect("/v1/score"):
            pass


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.1.2.3", "192.168.0.9", "::ffff:127.0.0.1"])
def test_other_addresses_than_loopback_need_tokens_or_a_flag(address, made):
    from service.auth.binding import check_address

    with pytest.raises(SettingsError, match=f"{address} can be reached from other machines") as caught:
        check_address(Settings(), address)
    assert "\n" not in str(caught.value)
    check_address(flat_settings(tokens_path=made[0]), address)
    check_address(flat_settings(allow_anonymous=True), address)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.9", "::1"])
def test_loopback_needs_nothing(address):
    from service.auth.binding import check_address

    check_address(Settings(), address)


def test_the_sockets_of_the_process_are_found_whoever_opened_them():
    import socket

    from service.auth.binding import check_sockets

    with socket.create_server(("127.0.0.1", 0)):
        check_sockets(Settings())
        with socket.create_server(("0.0.0.0", 0)):
            with pytest.raises(SettingsError, match=r"0\.0\.0\.0 can be reached"):
                check_sockets(Settings())
            check_sockets(flat_settings(allow_anonymous=True))
