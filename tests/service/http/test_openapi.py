import json
import re

import pytest

from identity_reward_client.errors import BY_CODE
from service.http.docs_page import page
from service.http.openapi import ROUTES, document

METHODS = {"get", "put", "post", "delete"}


def nodes(value):
    yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(child)


def test_every_reference_resolves():
    schemas = document()["components"]["schemas"]
    found = {node["$ref"] for node in nodes(document()) if isinstance(node, dict) and "$ref" in node}
    assert found
    assert {one.removeprefix("#/components/schemas/") for one in found} == set(schemas) & {
        one.removeprefix("#/components/schemas/") for one in found
    }


def test_the_document_is_openapi_3_1():
    made = json.loads(json.dumps(document()))
    assert re.fullmatch(r"3\.1\.\d", made["openapi"])
    assert {"title", "version"} <= set(made["info"])
    identifiers = []
    for path, methods in made["paths"].items():
        assert path.startswith("/")
        assert set(methods) <= METHODS
        for operation in methods.values():
            identifiers.append(operation["operationId"])
            assert operation["responses"]
            for status, answer in operation["responses"].items():
                assert re.fullmatch(r"[2-5]\d\d|default", status)
                assert answer["description"]
            named = set(re.findall(r"{(\w+)}", path))
            parameters = operation.get("parameters", [])
            assert {one["name"] for one in parameters if one["in"] == "path"} == named
            assert all(one["required"] == (one["in"] == "path") for one in parameters)
    assert len(set(identifiers)) == len(identifiers)


def test_the_statuses_of_the_error_tree_are_documented_for_scoring():
    score = next(route for route in ROUTES if route.path == "/v1/score")
    codes = "reference_without_face invalid_request payload_too_large unsupported_media_type model_not_found overloaded"
    for code in [*codes.split(), "deadline_exceeded", "internal"]:
        assert BY_CODE[code].http_status in score.errors


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_the_page_shows_every_route(route):
    shown = page(document())
    assert f'<span class="path">{route.path}</span><span class="note">{route.summary}</span>' in shown


def test_the_page_links_only_to_itself():
    shown = page(document())
    anchors = set(re.findall(r'id="([^"]+)"', shown))
    links = set(re.findall(r'href="([^"]+)"', shown))
    assert {link.removeprefix("#") for link in links - {"/openapi.json"}} <= anchors
    assert "<script" not in shown


def test_links_of_the_page_lead_into_what_they_open_and_every_error_code_is_told():
    shown = page(document())
    targets = re.findall(r'href="#(\w+)"', shown)
    assert targets
    for target in set(targets):
        assert f'</summary><div id="{target}">' in shown
    for code in ("missing_fps", "overloaded", "reference_set_not_found"):
        assert f"<code>{code}</code>" in shown
