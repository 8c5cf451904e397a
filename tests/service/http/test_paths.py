import pytest

from identity_reward_client.errors import MethodNotAllowed, NotFound
from service.http.paths import UNKNOWN, find_path, group_by_path
from service.http.routes import ROUTES

PATHS = group_by_path(ROUTES)


@pytest.mark.parametrize(
    ("path", "label", "parameters"),
    [
        ("/v1/score", "/v1/score", {}),
        ("/v1/models/x", "/v1/models/{name}", {"name": "x"}),
        ("/v1/models", "/v1/models", {}),
        ("/v1/jobs/7/results", "/v1/jobs/{id}/results", {"id": "7"}),
        ("/", "/", {}),
    ],
)
def test_a_path_has_the_label_of_its_template(path, label, parameters):
    match, path_parameters = find_path(PATHS, path)
    assert (match.label, path_parameters) == (label, parameters)


@pytest.mark.parametrize("path", ["", "/v1", "/v1/score/", "/v1/score\n", "/V1/score", "/v1/models/", "/v1/models/a/b"])
def test_other_paths_share_one_label(path):
    match, _ = find_path(PATHS, path)
    assert match is UNKNOWN
    assert match.label == "other"
    with pytest.raises(NotFound):
        match.route("GET")


def test_routes_of_a_path_are_found_by_method():
    jobs, _ = find_path(PATHS, "/v1/jobs")
    assert jobs.route("POST").status == 202
    assert jobs.route("HEAD") is jobs.route("GET")
    assert jobs.allow == "GET, HEAD, POST"
    with pytest.raises(MethodNotAllowed):
        jobs.route("DELETE")


def test_the_strictest_scope_holds_for_all_methods_of_a_path():
    assert [path.label for path in PATHS if path.scope == "admin"] == ["/metrics"]
    assert [path.label for path in PATHS if path.probe] == ["/livez", "/readyz"]
    assert (UNKNOWN.scope, UNKNOWN.probe) == ("score", False)
