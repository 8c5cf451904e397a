"""Every route of a running server over plain HTTP, without the project's client."""

import json
import re
import socket
import struct
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from identity_reward_client.preference import THETA, probabilities
from tests.support.media import b64
from tests.support.waiting import GENEROUS_S


def raw_body(tensors: dict[str, np.ndarray], request: dict) -> bytes:
    """A safetensors file written by hand, so that the route is not tested with our own encoder alone."""
    header, at = {"__metadata__": {"request": json.dumps(request)}}, 0
    for name, array in tensors.items():
        header[name] = {"dtype": "U8", "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + b"".join(array.tobytes() for array in tensors.values())


def test_score_names_model_sampling_frames_and_time(http, score_body):
    answer = http.post("/v1/score", json=score_body)
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert np.isfinite(body["reward"])
    assert body["frame_indices"] == [0, 4, 7, 11]
    assert (body["num_source_frames"], body["fps"]) == (12, 12.0)
    assert body["model"]["name"] == "tiny"
    assert body["model"]["frame_sampling"] == "tiny-uniform-4"
    assert body["model"]["fingerprint"]
    assert body["timing"]["decode_ms"] > 0
    assert body["timing"]["forward_ms"] > 0
    assert body["timing"]["total_ms"] >= body["timing"]["forward_ms"]


def test_the_default_model_scores_the_right_person_above_another(http, reference_jpeg, other_jpeg, clip_mp4):
    rewards = [
        http.post("/v1/score", json={"references": [{"data": b64(reference)}], "video": {"data": b64(clip_mp4)}}).json()
        for reference in (reference_jpeg, other_jpeg)
    ]
    assert rewards[0]["model"]["name"] == "arcface"
    assert rewards[0]["reward"] > rewards[1]["reward"] + 0.3


def test_details_only_where_asked_for(http, reference_jpeg, clip_mp4):
    body = {"references": [{"data": b64(reference_jpeg)}], "video": {"data": b64(clip_mp4)}}
    assert http.post("/v1/score", json=body).json()["details"] is None
    assert http.post("/v1/score", json=body | {"details": True}).json()["details"]["people"]


def test_compare_answers_probabilities_of_the_scaled_difference(http, reference_jpeg, clip_mp4, other_mp4):
    body = {"references": [{"data": b64(reference_jpeg)}]}
    body |= {"video_a": {"data": b64(clip_mp4)}, "video_b": {"data": b64(other_mp4)}}
    answer = http.post("/v1/compare", json=body).json()
    scale = http.get("/v1/models/arcface").json()["preference_scale"]
    expected = probabilities(scale * (answer["a"]["reward"] - answer["b"]["reward"]), THETA)
    assert (answer["p_a_wins"], answer["p_tie"], answer["p_b_wins"]) == pytest.approx([float(p) for p in expected])
    assert answer["verdict"] == "A"


def test_a_group_answers_an_item_each_and_matrices(http, score_body, other_mp4):
    videos = [score_body["video"], {"data": b64(b"no video")}, {"data": b64(other_mp4)}]
    body = {"model": "tiny", "references": score_body["references"], "videos": videos, "matrices": True}
    answer = http.post("/v1/groups", json=body)
    assert answer.status_code == 200, answer.text
    group = answer.json()
    assert [item["index"] for item in group["items"]] == [0, 1, 2]
    assert [item["scored"] is None for item in group["items"]] == [False, True, False]
    assert group["items"][1]["error"]["code"] == "invalid_media"
    assert group["win"][0][1] is None
    assert group["win"][0][2] + group["tie"][0][2] + group["win"][2][0] == pytest.approx(1)


def test_an_item_scores_the_same_alone_and_in_a_group(http, score_body, other_mp4):
    alone = http.post("/v1/score", json=score_body).json()["reward"]
    body = {"model": "tiny", "references": score_body["references"]}
    body["videos"] = [{"data": b64(other_mp4)}, score_body["video"]]
    assert http.post("/v1/groups", json=body).json()["items"][1]["scored"]["reward"] == alone


def test_a_raw_group_scores_as_the_same_frames_in_json(http, reference_jpeg, clip_frames):
    frames = {"shape": list(clip_frames.shape), "data": b64(clip_frames.tobytes())}
    as_json = {
        "model": "tiny",
        "references": [{"data": b64(reference_jpeg)}],
        "videos": [{"frames": frames, "fps": 12}],
    }
    tensors = {"video.0": clip_frames, "reference.0": np.frombuffer(reference_jpeg, np.uint8)}
    raw = raw_body(tensors, {"model": "tiny", "videos": [{"fps": 12}]})
    group = http.post("/v1/groups", json=as_json).json()
    raw_group = http.post("/v1/groups:raw", content=raw, headers={"Content-Type": "application/vnd.safetensors"})
    assert raw_group.status_code == 200, raw_group.text
    assert raw_group.json()["items"][0]["scored"]["reward"] == group["items"][0]["scored"]["reward"]


def test_frames_that_the_sender_chose_score_as_the_whole_clip(http, reference_jpeg, clip_frames):
    def ask(frames, **more):
        video = {"frames": {"shape": list(frames.shape), "data": b64(frames.tobytes())}, "fps": 12, **more}
        return http.post(
            "/v1/score", json={"model": "tiny", "references": [{"data": b64(reference_jpeg)}], "video": video}
        )

    whole, chosen = ask(clip_frames), ask(clip_frames[[0, 4, 7, 11]], num_source_frames=12, frame_indices=[0, 4, 7, 11])
    assert whole.json()["reward"] == chosen.json()["reward"]
    wrong = ask(clip_frames[[0, 4, 8, 11]], num_source_frames=12, frame_indices=[0, 4, 8, 11])
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "frame_index_mismatch")
    assert wrong.json()["error"]["details"]["expected"] == [0, 4, 7, 11]
    assert wrong.json()["error"]["details"]["given"] == [0, 4, 8, 11]


def test_a_stored_reference_set_replaces_its_images(http, score_body):
    put = http.put("/v1/reference-sets", json={"images": score_body["references"]})
    assert put.status_code == 200, put.text
    identity = put.json()["id"]
    assert re.fullmatch("sha256:[0-9a-f]{64}", identity)
    assert http.put("/v1/reference-sets", json={"images": score_body["references"]}).json()["id"] == identity
    by_id = http.post("/v1/score", json=score_body | {"references": identity})
    assert by_id.json()["reward"] == http.post("/v1/score", json=score_body).json()["reward"]


def test_models_are_listed_and_described(http):
    models = http.get("/v1/models").json()
    assert [(model["name"], model["default"]) for model in models["models"]] == [("arcface", True), ("tiny", False)]
    tiny = http.get("/v1/models/tiny").json()
    assert tiny["meaningful"] is False
    assert tiny["frame_sampling"]["num_frames"] == 4


@pytest.mark.parametrize("body", [b'{"references": [], "videos": []}', b"{}", b"not JSON"])
def test_an_offer_of_http_2_does_not_change_the_answer(server, body):
    """Java's HttpClient and `curl --http2` offer an upgrade to h2c with every request."""
    head = "POST /v1/groups HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nX-Request-Id: same\r\n"
    offer = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\n"
    url = httpx.URL(server.url)
    answers = []
    for upgrade in ("", offer):
        with socket.create_connection((url.host, url.port), timeout=GENEROUS_S) as connection:
            connection.sendall(f"{head}{upgrade}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            data = connection.recv(1 << 16)
            while b'"}}' not in data and b"}}}" not in data:
                data += connection.recv(1 << 16)
        answers.append(re.sub(rb"date: [^\r]*", b"", data))
    assert answers[0] == answers[1]
    assert answers[0].startswith(b"HTTP/1.1 400 ")


def test_health_and_readiness_probes_return_200(http):
    assert http.get("/livez").status_code == 200
    assert http.get("/readyz").status_code == 200


def test_request_ids_are_kept_or_made(http, score_body):
    kept = http.post("/v1/score", json=score_body, headers={"X-Request-Id": "step-12.a"})
    assert kept.headers["x-request-id"] == "step-12.a" == kept.json()["request_id"]
    made = http.post("/v1/score", json=score_body, headers={"X-Request-Id": "no spaces\tplease"})
    assert re.fullmatch("[0-9a-f]{32}", made.headers["x-request-id"])
    assert made.headers["x-request-id"] == made.json()["request_id"]
    assert http.get("/nowhere").headers["x-request-id"]


def test_metrics_count_with_bounded_labels(http, score_body):
    http.post("/v1/score", json=score_body)
    for path in ("/made-up/1", "/made-up/2", "/v1/models/a", "/v1/models/b", "/v1/score/"):
        http.get(path)
    text = http.get("/metrics").text
    routes = set(re.findall(r'identity_reward_requests_total\{route="([^"]*)"', text))
    assert routes <= {*http.get("/openapi.json").json()["paths"], "other"}
    assert "other" in routes
    assert "made-up" not in text
    for stage in ("decode", "preprocess", "queue", "forward"):
        assert float(re.search(rf'identity_reward_{stage}_seconds_count{{model="tiny"}} (\S+)', text)[1]) > 0
    assert re.search(r'identity_reward_items_total\{model="tiny",outcome="scored"\}', text)
    assert re.search(r'identity_reward_errors_total\{code="not_found"\}', text)
    assert re.search(r'identity_reward_waiting_tokens\{model="tiny",priority="rollout"\} 0\.0', text)


def test_the_documentation_is_ours_and_loads_nothing_from_elsewhere(http):
    for path in ("/", "/docs"):
        page = http.get(path)
        assert page.headers["content-type"].startswith("text/html")
        assert "<script" not in page.text
        assert not re.search(r'(src|href)="(https?:)?//|url\(|@import', page.text)
        assert "/v1/groups:raw" in page.text
        assert "default-src 'none'" in page.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/docs.json", "/schema.json", "/static_content/index.css", "/healthz", "/v1/score/"])
def test_nothing_of_the_frameworks_own_pages_is_reachable(http, path):
    assert http.get(path).status_code == 404


def test_the_document_names_every_route_that_answers(http):
    document = http.get("/openapi.json").json()
    named = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert named == {
        ("POST", "/v1/score"), ("POST", "/v1/compare"), ("POST", "/v1/groups"), ("POST", "/v1/groups:raw"),
        ("PUT", "/v1/reference-sets"), ("GET", "/v1/models"), ("GET", "/v1/models/{name}"), ("GET", "/livez"),
        ("GET", "/readyz"), ("GET", "/metrics"), ("GET", "/openapi.json"), ("GET", "/docs"), ("GET", "/"),
        ("POST", "/v1/jobs"), ("GET", "/v1/jobs"), ("GET", "/v1/jobs/{id}"), ("DELETE", "/v1/jobs/{id}"),
        ("GET", "/v1/jobs/{id}/results"),
    }  # fmt: skip
    for method, path in named:
        answer = http.request(method, path.replace("{name}", "tiny"))
        status = 200 if method == "GET" else 415 if path in ("/v1/groups:raw", "/v1/jobs") else 400
        if "/jobs" in path and method != "POST":  # this server keeps none
            status = 404
            assert "jobs_path" in answer.json()["error"]["message"]
        assert answer.status_code == status, (method, path)


@pytest.mark.parametrize("model", ["tiny", "arcface"])
def test_numbers_do_not_depend_on_what_is_scored_beside_them(http, server, score_body, other_mp4, model):
    bodies = [score_body | {"model": model}, score_body | {"model": model, "video": {"data": b64(other_mp4)}}]
    alone = [http.post("/v1/score", json=body).json()["reward"] for body in bodies]
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda i: httpx.post(f"{server.url}/v1/score", json=bodies[i % 2], timeout=GENEROUS_S), range(16))
        )
    assert [answer.json()["reward"] for answer in answers] == [alone[i % 2] for i in range(16)]
