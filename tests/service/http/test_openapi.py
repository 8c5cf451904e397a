import json
import re

from identity_reward_client.errors import BY_CODE
from service.http.routes import SCORE, openapi_document

METHODS = {"get", "put", "post", "delete"}


def nodes(value):
    yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(child)


def test_every_reference_resolves():
    schemas = openapi_document()["components"]["schemas"]
    references = {node["$ref"] for node in nodes(openapi_document()) if isinstance(node, dict) and "$ref" in node}
    assert references
    assert {reference.removeprefix("#/components/schemas/") for reference in references} <= set(schemas)


def test_the_document_is_openapi_3_1():
    document = json.loads(json.dumps(openapi_document()))
    assert re.fullmatch(r"3\.1\.\d", document["openapi"])
    assert {"title", "version"} <= set(document["info"])
    identifiers = []
    for path, methods in document["paths"].items():
        assert path.startswith("/")
        assert set(methods) <= METHODS
        for operation in methods.values():
            identifiers.append(operation["operationId"])
            assert operation["responses"]
            for status, response in operation["responses"].items():
                assert re.fullmatch(r"[2-5]\d\d|default", status)
                assert response["description"]
            in_template = set(re.findall(r"{(\w+)}", path))
            parameters = operation.get("parameters", [])
            assert {parameter["name"] for parameter in parameters if parameter["in"] == "path"} == in_template
            assert all(parameter["required"] == (parameter["in"] == "path") for parameter in parameters)
    assert len(set(identifiers)) == len(identifiers)


def test_the_error_statuses_of_scoring_are_documented():
    codes = "reference_without_face invalid_request payload_too_large unsupported_media_type model_not_found overloaded"
    for code in [*codes.split(), "deadline_exceeded", "internal"]:
        assert BY_CODE[code].http_status in SCORE.errors
