"""What a caller can do wrong is a 4xx in one shape that names the fault, and the service goes on."""

import base64
import io
import json
import os
import pickle
import socket

import httpx
import numpy as np
import pytest
from PIL import Image


def b64(data) -> str:
    return base64.b64encode(data).decode()


def check(answer: httpx.Response, status: int, code: str) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "retryable", "details"}
    assert error["code"] == code, error
    assert answer.headers["x-request-id"]
    return error["message"]


HEAD = "POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"
SCORE = {"Content-Type": "application/json"}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        pytest.param(b"", "references", id="empty"),
        pytest.param(b"{", "JSON", id="cut off"),
        pytest.param(b"\xff\xfe\x00", "JSON", id="not text"),
        pytest.param(b"[1,2]", "", id="a list"),
        pytest.param(b"null", "", id="null"),
        pytest.param(b"[" * 200_000, "recursion", id="deep list"),
        pytest.param(b'{"a":' * 200_000, "recursion", id="deep object"),
        pytest.param(b'{"references": ' + b"9" * 1_000_000 + b"}", "", id="a number of a million digits"),
        pytest.param(b'{"references": [], "video": {}}', "references", id="no references"),
        pytest.param(b'{"references": "sha256:12", "video": {}}', "references", id="malformed set id"),
        pytest.param(b'{"references": [{"data": "QQ=="}]}', "video", id="no video"),
    ],
)
def test_malformed_bodies(http, body, says):
    assert says in check(http.post("/v1/score", content=body, headers=SCORE), 400, "invalid_request")


@pytest.mark.parametrize(
    ("change", "status", "code", "says"),
    [
        ({"colour": 1}, 400, "invalid_request", "colour"),
        ({"x" * 5000: 1}, 400, "invalid_request", "xxx"),
        ({"details": "maybe"}, 400, "invalid_request", "details"),
        ({"video": {"data": "not base64!"}}, 400, "invalid_request", "video.data: not base64"),
        ({"references": [{"data": "%%%"}]}, 400, "invalid_request", "references.0.data"),
        ({"video": {"data": b64(b"rubbish")}}, 422, "invalid_media", "video"),
        ({"video": {"data": ""}}, 422, "invalid_media", "empty"),
        ({"references": [{"data": b64(b"rubbish")}]}, 422, "invalid_media", "reference 0"),
        ({"video": {"url": "http://127.0.0.1/a.mp4"}}, 422, "input_refused", "url"),
        ({"video": {"path": "/etc/passwd"}}, 422, "input_refused", "path"),
        ({"references": [{"url": "file:///etc/passwd"}]}, 422, "input_refused", "url"),
        ({"references": [{"path": "/etc/passwd"}]}, 422, "input_refused", "path"),
        ({"model": "gpt"}, 404, "model_not_found", "tiny"),
        ({"references": "sha256:" + "0" * 64}, 404, "reference_set_not_found", "reference-sets"),
        ({"prompt": "x" * 5000}, 422, "limit_exceeded", "4096"),
        ({"prompt": 7}, 400, "invalid_request", "prompt"),
        ({"video": {"images": [], "fps": 8}}, 422, "invalid_media", "empty"),
    ],
)  # fmt: skip
def test_wrong_fields(http, score_body, change, status, code, says):
    message = check(http.post("/v1/score", json=score_body | change), status, code)
    assert says in message
    assert len(message) < 1000


def frames(**more) -> dict:
    pixels = np.zeros((4, 32, 32, 3), np.uint8)
    return {"frames": {"shape": list(pixels.shape), "data": b64(pixels.tobytes())}, **more}


@pytest.mark.parametrize(
    ("video", "status", "code", "says"),
    [
        (frames(), 422, "missing_fps", "fps"),
        (frames(fps=0), 400, "invalid_request", "fps"),
        (frames(fps=-1), 400, "invalid_request", "fps"),
        (frames(fps=1e-3), 422, "limit_exceeded", "max_duration_s"),
        (frames(fps=8, num_source_frames=9), 400, "invalid_request", "go together"),
        (frames(fps=8, num_source_frames=9, frame_indices=[0, 8]), 422, "frame_index_mismatch", "4 frames"),
        (frames(fps=8, num_source_frames=9, frame_indices=[0, 1, 2, 8]), 422, "frame_index_mismatch", "[0, 3, 5, 8]"),
        (frames(fps=8, num_source_frames=9, frame_indices=[0, 3, 5, 99]), 400, "invalid_request", "0..8"),
        (frames(fps=8, num_source_frames=0, frame_indices=[0, 3, 5, 8]), 400, "invalid_request", "at least 1"),
        (frames(fps=8, num_source_frames=10**400, frame_indices=[0, 3, 5, 8]), 422, "limit_exceeded", "max_source"),
        (frames(fps=8) | {"data": "QQ=="}, 400, "invalid_request", "exactly one"),
        ({"frames": {"shape": [4, 32, 32, 3], "data": "QQ=="}, "fps": 8}, 400, "invalid_request", "needs 12288 bytes"),
        ({"frames": {"shape": [2**40, 2**40, 1, 3], "data": ""}, "fps": 8}, 400, "invalid_request", "bytes"),
        ({"frames": {"shape": [65, 1, 1, 3], "data": b64(bytes(195))}, "fps": 8}, 422, "limit_exceeded", "max_sent"),
    ],
)
def test_wrong_frames(http, score_body, video, status, code, says):
    assert says in check(http.post("/v1/score", json=score_body | {"video": video}), status, code)


def test_nan_and_infinite_fps_are_refused(http, score_body):
    for text in ("NaN", "Infinity", "1e999"):
        body = json.dumps(score_body | {"video": frames(fps=8)}).replace('"fps": 8', f'"fps": {text}')
        assert http.post("/v1/score", content=body, headers=SCORE).json()["error"]["code"] == "invalid_request"


@pytest.mark.parametrize("theta", [1, 0, -3, 1e300, "x"])
def test_theta_that_is_no_tie_parameter(http, score_body, theta):
    body = {"model": "tiny", "references": score_body["references"], "videos": [score_body["video"]], "theta": theta}
    assert "theta" in check(http.post("/v1/groups", json=body), 400, "invalid_request")


def test_nine_references_are_one_too_many(http, score_body):
    answer = http.post("/v1/score", json=score_body | {"references": score_body["references"] * 9})
    assert "9 references; at most 8" in check(answer, 422, "limit_exceeded")
    put = http.put("/v1/reference-sets", json={"images": score_body["references"] * 9})
    check(put, 422, "limit_exceeded")


def test_sixty_five_videos_are_one_too_many(http, score_body):
    body = {"model": "tiny", "references": score_body["references"], "videos": [{"data": "QQ=="}] * 65}
    check(http.post("/v1/groups", json=body), 422, "limit_exceeded")


def test_a_reference_without_a_face_fails_the_whole_group(http, clip_mp4):
    file = io.BytesIO()
    Image.new("RGB", (200, 200), "gray").save(file, "PNG")
    body = {"references": [{"data": b64(file.getvalue())}], "videos": [{"data": b64(clip_mp4)}] * 2}
    check(http.post("/v1/groups", json=body), 422, "reference_without_face")


def test_compare_names_the_video_that_failed(http, score_body):
    body = {"model": "tiny", "references": score_body["references"], "video_a": score_body["video"]}
    answer = http.post("/v1/compare", json=body | {"video_b": {"data": b64(b"rubbish")}})
    check(answer, 422, "invalid_media")
    assert answer.json()["error"]["details"]["video"] == "b"


class Marked:
    def __reduce__(self):
        return os.mkdir, (f"/tmp/pickle-ran-{os.getpid()}",)


@pytest.mark.parametrize("route", ["/v1/score", "/v1/compare", "/v1/groups", "/v1/groups:raw", "/v1/reference-sets"])
@pytest.mark.parametrize(
    "kind",
    ["application/vnd.bentoml+pickle", "Application/Vnd.BentoML+Pickle; a=b", "application/octet-stream",
     "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "text/plain"],
)  # fmt: skip
def test_other_content_types_are_not_taken_and_pickles_never_run(http, route, kind):
    method = "PUT" if route.endswith("sets") else "POST"
    answer = http.request(method, route, content=pickle.dumps(Marked()), headers={"Content-Type": kind})
    check(answer, 415, "unsupported_media_type")
    assert not os.path.exists(f"/tmp/pickle-ran-{os.getpid()}")


def test_a_pickle_under_the_right_content_type_is_malformed(http):
    for route, kind in (("/v1/score", "application/json"), ("/v1/groups:raw", "application/vnd.safetensors")):
        answer = http.post(route, content=pickle.dumps(Marked()), headers={"Content-Type": kind})
        check(answer, 400, "invalid_request")
    assert not os.path.exists(f"/tmp/pickle-ran-{os.getpid()}")


def test_compressed_bodies_are_not_taken(http):
    check(
        http.post("/v1/score", content=b"x", headers={**SCORE, "Content-Encoding": "gzip"}),
        415,
        "unsupported_media_type",
    )


@pytest.mark.parametrize(
    "body", [b"", b"\x00" * 7, b"\xff" * 64, b"\x02" + bytes(7) + b"{}", b"\x10" + bytes(7) + b"{}"]
)
def test_raw_bodies_that_are_no_safetensors(http, body):
    answer = http.post("/v1/groups:raw", content=body, headers={"Content-Type": "application/vnd.safetensors"})
    check(answer, 400, "invalid_request")


def test_unknown_paths_and_methods(http):
    check(http.get("/v2/score"), 404, "not_found")
    check(http.post("/v1/models/tiny/x"), 404, "not_found")
    check(http.get("/v1/models/none"), 404, "model_not_found")
    wrong = http.get("/v1/score")
    check(wrong, 405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"
    check(http.delete("/v1/models"), 405, "method_not_allowed")
    check(http.post("/v1/reference-sets", json={}), 405, "method_not_allowed")


def test_an_oversized_body_is_refused_unread(server):
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(HEAD.format(99999999999).encode())
        answer = connection.recv(65536).decode()
        while not answer.endswith("}"):
            answer += connection.recv(65536).decode()
    assert answer.startswith("HTTP/1.1 413")
    assert '"code":"payload_too_large"' in answer


def test_an_oversized_body_without_a_length_is_refused_when_counted(http):
    def chunks():
        for _ in range(12):
            yield b" " * (1 << 20)

    check(http.post("/v1/score", content=chunks(), headers=SCORE), 413, "payload_too_large")


def test_a_client_that_vanishes_mid_body_harms_nobody(http, server):
    host, _, port = server.url.removeprefix("http://").partition(":")
    for _ in range(3):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
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
