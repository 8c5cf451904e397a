"""The HTTP application around handlers of the tests."""

from dataclasses import replace

import pytest
from starlette.responses import JSONResponse
from starlette.testclient import TestClient

from service.auth.authenticator import Authenticator
from service.http.application import HttpApplication
from service.http.request import Services
from service.http.routes import ROUTES
from service.operations.drain import InFlight
from service.operations.metrics import Metrics
from tests.service.flat_settings import flat_settings


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def make_client(metrics):
    """`make_client(handler, setting=value)`: the route table with this handler on every route, which reads no body."""

    def make(handler=None, routes=ROUTES, **settings) -> TestClient:
        if handler is not None:
            routes = [replace(route, handler=handler, request=None) for route in routes]
        given = flat_settings(**settings)
        authenticator = Authenticator(given.auth.tokens_path)
        application = HttpApplication(routes, Services(metrics), given, authenticator, InFlight())
        return TestClient(application, raise_server_exceptions=False)

    return make


async def echo(request):
    """All fields of a request that a handler receives."""
    return JSONResponse({"client": request.call.client, "request": repr(request)})


def error_of(response) -> dict:
    assert set(response.json()) == {"error"}
    return response.json()["error"]
