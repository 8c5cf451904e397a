from typing import get_type_hints

import pytest
from starlette.responses import Response

from identity_reward_client.wire.job_messages import NDJSON
from service.http.request import ApiRequest
from service.http.routes import ROUTES, openapi_document


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_handlers_take_and_return_what_the_table_says(route):
    hints = get_type_hints(route.handler)
    assert hints["request"].__origin__ is ApiRequest
    (message,) = hints["request"].__args__
    if route.request is None:
        assert message is type(None)
    else:
        assert message is (bytes if route.content_type == NDJSON else route.request)
    if hints["return"] is not Response:
        assert hints["return"] is route.response


def test_only_metrics_need_admin():
    assert {route.path for route in ROUTES if route.scope == "admin"} == {"/metrics"}


def test_a_path_and_method_is_declared_once():
    declared = [(route.method, route.path) for route in ROUTES]
    assert len(set(declared)) == len(declared)


def test_the_document_says_which_token_a_route_needs():
    paths = openapi_document()["paths"]
    assert openapi_document()["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    assert paths["/metrics"]["get"]["security"] == [{"token": ["admin"]}, {}]
    for route in ROUTES:
        operation = paths[route.path][route.method.lower()]
        assert operation["security"][0] == {"token": [route.scope]}
        assert {"401", "403"} <= set(operation["responses"])
