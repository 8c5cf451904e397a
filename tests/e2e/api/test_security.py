"""A server with tokens, URLs and paths switched on, and callers that attack it."""

import re
import select
import socket
import time
from contextlib import suppress
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from identity_reward_client.errors import Unauthenticated
from identity_reward_client.messages import CompareRequest, GroupRequest, ReferenceSet, ScoreRequest
from identity_reward_client.proto import identity_reward_pb2 as pb2
from identity_reward_client.proto.codec import to_proto
from identity_reward_client.proto.identity_reward_pb2_grpc import RewardServiceStub
from identity_reward_client.transports.http import HttpRewardClient
from service.auth import tokens
from service.http.routes import ROUTES
from tests.e2e.grpc_calls import PATHS, chunked, status_and_error
from tests.service.media.media_host import Authority, redirect, respond
from tests.support.connections import open_connection, read_all
from tests.support.media import b64
from tests.support.waiting import GENEROUS_S, wait_until

TIMEOUT_S = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("security")


@pytest.fixture(scope="module")
def host(folder, clip_mp4, reference_jpeg):
    authority = Authority(folder)
    with authority.host() as host:
        host.paths |= {"/clip.mp4": respond(clip_mp4), "/person.jpg": respond(reference_jpeg)}
        host.paths |= {"/moved.mp4": redirect("/clip.mp4"), "/inside": redirect("https://127.0.0.1:3000/metrics")}
        yield host


@pytest.fixture(scope="module")
def made(folder) -> dict[str, str]:
    return {name: tokens.create(folder / "tokens", name, name) for name in tokens.SCOPES}


@pytest.fixture(scope="module")
def server(serve, folder, host, made, clip_mp4):
    (folder / "clips").mkdir()
    (folder / "clips/clip.mp4").write_bytes(clip_mp4)
    (folder / "clips/out.mp4").symlink_to(folder / "tokens")
    environment = {
        "TOKENS_PATH": folder / "tokens", "URL_HOSTS": f"localhost:{host.port}", "PATH_ROOTS": folder / "clips",
        "URL_PRIVATE_NETWORKS": "127.0.0.1/32,::1/128", "REQUEST_TIMEOUT_S": TIMEOUT_S,
    }  # fmt: skip
    variables = {f"IDENTITY_REWARD_{name}": str(value) for name, value in environment.items()}
    variables["SSL_CERT_FILE"] = str(folder / "ca.pem")
    arguments = ("--model", "tiny", "--port", "0", "--grpc-port", "0", "--verbose")
    return serve(*arguments, environment=variables).wait_ready(lines=2)


@pytest.fixture
def http(server, made):
    headers = {"Authorization": f"Bearer {made['score']}"}
    with httpx.Client(base_url=server.url, timeout=GENEROUS_S, headers=headers) as client:
        yield client
        assert client.get("/readyz").status_code == 200, "the service doesn't answer any more"


@pytest.fixture
def connect(server):
    opened: list[socket.socket] = []

    def connect() -> socket.socket:
        opened.append(open_connection(server.url))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_requires_a_token(server, route):
    path = route.path.replace("{name}", "tiny")
    for method in {route.method, "POST", "HEAD"}:
        got = httpx.request(method, server.url + path, content=b"{}", timeout=GENEROUS_S)
        assert (got.status_code, got.headers["www-authenticate"]) == (401, "Bearer"), method


@pytest.mark.parametrize("path", ["/docs.json", "/healthz", "/no/such", "/v1/models/../../metrics", "/task/submit"])
def test_unknown_paths_require_a_token_too(server, http, path):
    assert httpx.get(server.url + path, timeout=GENEROUS_S).status_code == 401
    assert http.get(path).status_code in (403, 404)


def test_each_route_requires_the_scope_of_its_token(server, http, made):
    assert http.get("/v1/models").status_code == 200
    assert http.get("/metrics").status_code == 403
    admin = {"Authorization": f"Bearer {made['admin']}"}
    text = httpx.get(f"{server.url}/metrics", headers=admin, timeout=GENEROUS_S).text
    assert 'identity_reward_errors_total{code="unauthenticated"}' in text
    assert not any(token in text for token in made.values())


async def test_the_client_sends_its_token(server, made, reference_jpeg, clip_mp4):
    client = HttpRewardClient(server.url, token=made["score"])
    assert (await client.score([reference_jpeg], clip_mp4)).reward
    await client.close()
    for token in (None, "wrong"):
        client = HttpRewardClient(server.url, token=token)
        with pytest.raises(Unauthenticated):
            await client.score([reference_jpeg], clip_mp4)
        await client.close()


def test_a_token_is_revoked_while_the_server_runs(server, folder):
    token = tokens.create(folder / "tokens", "leaver", "score")

    def status() -> int:
        return httpx.get(
            f"{server.url}/v1/models", headers={"Authorization": f"Bearer {token}"}, timeout=GENEROUS_S
        ).status_code

    wait_until(lambda: status() == 200, "the new token is taken")
    tokens.revoke(folder / "tokens", "leaver")
    wait_until(lambda: status() == 401, "the revoked token is refused")


def test_every_grpc_method_requires_a_token(server, made):
    """Health, reflection and unknown methods too, whatever the call holds."""
    others = ["/grpc.health.v1.Health/Check", "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "/a/B"]
    with grpc.insecure_channel(server.grpc_target) as channel:
        for path in [*PATHS, *others]:
            for header in (None, "", "Bearer", "Bearer wrong", f"Basic {made['admin']}", f"Bearer {made['score']}x"):
                metadata = () if header is None else (("authorization", header),)
                with pytest.raises(grpc.RpcError) as caught:
                    list(channel.stream_stream(path)(iter([b"\xff"]), metadata=metadata, timeout=GENEROUS_S))
                status, error = status_and_error(caught.value)
                assert (status, error.code) == (grpc.StatusCode.UNAUTHENTICATED, "unauthenticated"), (path, header)


@pytest.mark.parametrize("scope", tokens.SCOPES)
def test_every_grpc_method_takes_either_scope(server, made, scope, score_body, http):
    expected = http.post("/v1/score", json=score_body).json()["reward"]
    single = to_proto(ScoreRequest.model_validate(score_body))
    common = {"references": score_body["references"], "model": "tiny"}
    videos = {"video_a": score_body["video"], "video_b": score_body["video"]}
    pair = to_proto(CompareRequest.model_validate(common | videos))
    group = to_proto(GroupRequest.model_validate(common | {"videos": [score_body["video"]]}))
    pictures = to_proto(ReferenceSet.model_validate({"images": score_body["references"]}))
    with grpc.insecure_channel(server.grpc_target) as channel:
        options = {"metadata": (("authorization", f"Bearer {made[scope]}"),), "timeout": GENEROUS_S}
        stub = RewardServiceStub(channel)
        rewards = [stub.Score(single, **options).reward, stub.Compare(pair, **options).a.reward]
        *_, last = stub.ScoreGroup(group, **options)
        rewards.append(last.group.items[0].scored.reward)
        rewards.append(stub.ScoreChunked(chunked(single.SerializeToString(), 5000), **options).reward)
        rewards.append(stub.CompareChunked(chunked(pair.SerializeToString(), 5000), **options).b.reward)
        *_, last = stub.ScoreGroupChunked(chunked(group.SerializeToString(), 5000), **options)
        rewards.append(last.group.items[0].scored.reward)
        assert rewards == [expected] * 6
        set_id = stub.PutReferenceSet(pictures, **options).id
        assert stub.PutReferenceSetChunked(chunked(pictures.SerializeToString(), 5000), **options).id == set_id
        assert [model.name for model in stub.ListModels(pb2.ListModelsRequest(), **options).models] == ["tiny"]
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), **options)
        assert health.status == health_pb2.HealthCheckResponse.SERVING
        ask = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        [listed] = ask(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), **options)
        assert len(listed.list_services_response.service) == 3


def test_urls_and_paths_give_the_reward_of_their_bytes(http, host, folder, score_body, reference_jpeg):
    expected = http.post("/v1/score", json=score_body).json()["reward"]
    for video in (
        {"url": host.url("/clip.mp4")},
        {"url": host.url("/moved.mp4")},
        {"path": f"{folder}/clips/clip.mp4"},
    ):
        body = score_body | {"video": video, "references": [{"url": host.url("/person.jpg")}]}
        got = http.post("/v1/score", json=body)
        assert got.status_code == 200, got.text
        assert got.json()["reward"] == expected


@pytest.mark.parametrize(
    "video",
    [{"url": "https://127.0.0.1:3000/metrics"}, {"url": "INSIDE"}, {"url": "http://169.254.169.254/latest/meta-data"},
     {"path": "TOKENS"}, {"path": "LINK"}, {"path": "/etc/passwd"}, {"path": "/proc/self/environ"}],
)  # fmt: skip
def test_urls_and_paths_outside_the_allow_lists_are_refused(http, host, folder, score_body, video):
    places = {"INSIDE": host.url("/inside"), "TOKENS": f"{folder}/tokens", "LINK": f"{folder}/clips/out.mp4"}
    video = {kind: places.get(place, place) for kind, place in video.items()}
    got = http.post("/v1/score", json=score_body | {"video": video})
    assert (got.status_code, got.json()["error"]["code"]) == (422, "input_refused")


@pytest.mark.parametrize(
    "flood",
    [b"".join(b"X-%d: y\r\n" % i for i in range(9000)), b"X: " + b"y" * (1 << 20), b"y" * (32 << 20)],
    ids=["9,000 headers", "1 MB", "32 MB"],
)
def test_header_floods_are_refused(connect, http, flood):
    connection = connect()
    with suppress(ConnectionError):
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n" + flood)
    got = read_all(connection)
    assert got.startswith(b"HTTP/1.1 431 ") or not got  # a hang-up overtakes the answer while there is more to send


def test_long_request_lines_are_refused(connect, http):
    connection = connect()
    with suppress(ConnectionError):
        connection.sendall(b"GET /" + b"x" * (1 << 20))
    got = read_all(connection)
    assert got.startswith(b"HTTP/1.1 431 ") or not got


def test_slow_uploads_end_by_the_deadline_and_block_nobody(connect, http, made, score_body):
    head = "POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += f"Authorization: Bearer {made['score']}\r\n"
    uploads = [connect() for _ in range(40)]
    for i, upload in enumerate(uploads):
        length = "Content-Length: 9999" if i % 2 else "Transfer-Encoding: chunked"
        upload.sendall(f"{head}{length}\r\n\r\n".encode())
        upload.setblocking(False)

    def trickle() -> None:
        for i, upload in enumerate(uploads):
            with suppress(OSError):
                upload.send(b" " if i % 2 else b"1\r\n \r\n")

    def answered() -> list[socket.socket]:
        return select.select(uploads, [], [], 0)[0]

    scored = 0
    deadline = time.monotonic() + GENEROUS_S
    while len(answered()) < len(uploads):
        assert time.monotonic() < deadline, "uploads go on although their time is over"
        trickle()
        was_open = len(answered()) < len(uploads)
        assert http.post("/v1/score", json=score_body).status_code == 200
        scored += was_open
    assert scored >= 2, "others were answered meanwhile"
    for upload in uploads:
        upload.settimeout(GENEROUS_S)
        assert read_all(upload).startswith(b"HTTP/1.1 504 ")


def test_slow_uploads_without_a_token_are_refused_before_their_body(connect):
    connection = connect()
    connection.sendall(b"POST /v1/score HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n")
    # a refusal of the deadline would be 504
    assert read_all(connection).startswith(b"HTTP/1.1 401 ")


def test_websockets_are_refused(connect):
    connection = connect()
    connection.sendall(
        b"GET /v1/score HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert re.match(rb"HTTP/1\.1 40[13] ", connection.recv(1 << 16))


def test_no_token_is_logged(server, made, folder):
    logged = "".join(server.err)
    assert "/v1/score" in logged, "requests were logged"
    for token in made.values():
        assert token not in logged
        assert tokens.digest(token).hex() not in logged
    assert b64(made["score"].encode()) not in logged
    assert str(folder / "clips") not in logged
