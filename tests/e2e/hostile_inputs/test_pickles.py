"""Pickles to every route, under every content type that might be unpickled: none runs, and the service goes on."""

import os

import httpx
import pytest

from service.http.routes import ROUTES
from tests.e2e.hostile_inputs.files import PICKLE, Marked

KINDS = (
    "application/vnd.bentoml+pickle", "application/vnd.bentoml+pickle; charset=utf-8", "Application/VND.BentoML+Pickle",
    "text/plain; application/vnd.bentoml+pickle", "application/pickle", "application/x-pickle",
    "application/octet-stream", "application/vnd.bentoml.multiple_outputs", "application/json",
    "application/vnd.safetensors", "multipart/form-data; boundary=x", None,
)  # fmt: skip
# headers of BentoML's older protocol that describe a body
LEGACY = {
    "Args-Number": "1", "Payload-Container": "DefaultContainer", "Payload-Meta": '{"format": "default"}',
    "Batch-Size": "1", "Bento-Runner-Request": "1", "Runner-Name": "x",
}  # fmt: skip
# routes that BentoML has beside those of this API
OTHERS = ("/docs.json", "/task/submit", "/v1/score/submit", "/__predict__", "/run", "/healthz", "/call", "/schema.json")
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH")


def send(http: httpx.Client, method: str, path: str, kind: str | None, legacy: bool) -> httpx.Response:
    headers = (LEGACY if legacy else {}) | ({} if kind is None else {"Content-Type": kind})
    return http.request(method, path, content=PICKLE, headers=headers)


@pytest.fixture(autouse=True)
def nothing_ran(http):
    assert not os.path.exists(Marked.path)
    yield
    assert not os.path.exists(Marked.path)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_no_route_runs_a_pickle(http, route):
    path = route.path.replace("{name}", "tiny")
    for kind in KINDS:
        for legacy in (False, True):
            for method in METHODS:
                answer = send(http, method, path, kind, legacy)
                if method == route.method and route.request is None:
                    # the body is not read; this server takes no jobs
                    assert answer.status_code == (404 if route.path.startswith("/v1/jobs") else 200)
                elif method == route.method:
                    assert answer.status_code in (400, 415), (kind, answer.text)
                else:
                    assert answer.status_code in (404, 405, 400, 415), (method, answer.text)


@pytest.mark.parametrize("path", OTHERS)
def test_no_other_route_takes_a_pickle(http, path):
    for kind in KINDS:
        for method in ("POST", "PUT"):
            assert send(http, method, path, kind, True).status_code == 404


def test_the_pickle_would_run():
    """Without this the tests above would show nothing."""
    import pickle

    pickle.loads(PICKLE)
    os.rmdir(Marked.path)
