"""Details of the answers to malformed input, beside the statuses and codes that `table` lists."""

import os

import httpx
import pytest

from tests.e2e.hostile_inputs.files import PICKLE, Marked
from tests.e2e.hostile_inputs.table import JSON, SAFETENSORS
from tests.support.connections import open_connection, read_all
from tests.support.media import b64

SCORE = {"Content-Type": JSON}


def check(answer: httpx.Response, status: int, code: str) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == JSON
    assert answer.json()["error"]["code"] == code
    return answer.json()["error"]


def test_nan_and_infinite_fps_are_refused_in_every_spelling(http, score_body):
    frames = {"shape": [1, 8, 8, 3], "data": b64(bytes(192))}
    for text in ("NaN", "Infinity", "-Infinity", "1e999"):
        body = httpx.Request("POST", "/", json=score_body | {"video": {"frames": frames, "fps": 8}}).content
        answer = http.post("/v1/score", content=body.replace(b'"fps":8', f'"fps":{text}'.encode()), headers=SCORE)
        check(answer, 400, "invalid_request")


def test_more_references_than_the_limit_are_not_stored(http, score_body):
    put = http.put("/v1/reference-sets", json={"images": score_body["references"] * 9})
    check(put, 422, "limit_exceeded")


def test_compare_names_the_video_that_failed(http, score_body):
    body = {"model": "tiny", "references": score_body["references"], "video_a": score_body["video"]}
    answer = http.post("/v1/compare", json=body | {"video_b": {"data": b64(b"rubbish")}})
    assert check(answer, 422, "invalid_media")["details"]["video"] == "b"


@pytest.mark.parametrize("route", ["/v1/score", "/v1/compare", "/v1/groups", "/v1/groups:raw", "/v1/reference-sets"])
@pytest.mark.parametrize(
    "kind",
    ["Application/Vnd.BentoML+Pickle; a=b", "application/octet-stream", "multipart/form-data; boundary=x",
     "application/x-www-form-urlencoded", "text/plain"],
)  # fmt: skip
def test_no_route_takes_another_content_type_and_pickles_never_run(http, route, kind):
    method = "PUT" if route.endswith("sets") else "POST"
    answer = http.request(method, route, content=PICKLE, headers={"Content-Type": kind})
    check(answer, 415, "unsupported_media_type")
    assert not os.path.exists(Marked.path)


@pytest.mark.parametrize("body", [b"\x00" * 7, b"\x02" + bytes(7) + b"{}", b"\x10" + bytes(7) + b"{}"])
def test_raw_bodies_that_are_not_safetensors(http, body):
    answer = http.post("/v1/groups:raw", content=body, headers={"Content-Type": SAFETENSORS})
    check(answer, 400, "invalid_request")


def test_unknown_paths_and_methods(http):
    check(http.post("/v1/models/tiny/x"), 404, "not_found")
    check(http.get("/v1/models/none"), 404, "model_not_found")
    wrong = http.get("/v1/score")
    check(wrong, 405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"
    check(http.delete("/v1/models"), 405, "method_not_allowed")
    check(http.post("/v1/reference-sets", json={}), 405, "method_not_allowed")


@pytest.mark.parametrize(
    ("start", "status"),
    [
        ("POST /v1/score HTTP/1.1\r\nContent-Type: application/json", 413),
        ("POST /v1/score HTTP/1.1\r\nContent-Type: text/plain", 415),
        ("POST /nowhere HTTP/1.1", 404),
        ("GET /v1/models HTTP/1.1", 200),
    ],
)
def test_a_refused_body_is_not_read_and_the_connection_is_closed(http, server, start, status):
    """Otherwise a caller keeps the server reading for as long as it sends."""
    with open_connection(server.url) as connection:
        connection.sendall(f"{start}\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n".encode())
        answer = read_all(connection)
    assert answer.startswith(f"HTTP/1.1 {status}".encode())
    assert b"connection: close" in answer.lower()


def test_a_body_that_was_read_leaves_the_connection_open(http, score_body):
    assert "connection" not in http.post("/v1/score", json=score_body | {"model": "gpt"}).headers


def test_a_client_that_disconnects_during_its_body_affects_no_other_request(http, server):
    for _ in range(3):
        with open_connection(server.url) as connection:
            head = (
                "POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
            )
            connection.sendall(head.encode())
    assert http.get("/livez").status_code == 200


def test_no_input_and_no_traceback_is_logged(http, server, score_body):
    secret = "kept-between-us-7261"
    http.post("/v1/score", json=score_body | {"details": secret})
    http.post("/v1/score", content=secret.encode(), headers=SCORE)
    http.post("/v1/score", json=score_body | {"model": secret})
    http.get(f"/{secret}")
    http.post("/v1/score", json=score_body | {"video": {"data": b64(secret.encode())}})
    logged = "".join([*server.out, *server.err])
    assert secret not in logged
    assert "Traceback" not in logged
    echoed = http.post("/v1/score", json=score_body | {"details": secret}).text
    assert secret not in echoed
