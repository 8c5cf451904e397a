"""The metrics that the dashboard, the alerts and the autoscaler query are those that a running replica exports."""

import json
import re
import subprocess
from dataclasses import dataclass

import httpx
import promql_parser as promql
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from identity_reward_client.errors import server_errors
from identity_reward_client.preference import Preference
from identity_reward_client.wire.headers import PRIORITIES
from service.grpc.interceptors import PATHS
from service.http.routes import ROUTES
from tests.support.grey_videos import grey_request, grey_video
from tests.support.media import b64
from tests.support.waiting import GENEROUS_S, wait_until

from .conftest import DEPLOY, tool

# put on by Prometheus, not by the service
FROM_PROMETHEUS = {"job", "instance", "namespace", "pod"}


@dataclass(frozen=True)
class Use:
    """A metric in a query: the label values that it is narrowed to, and the labels that its sums are kept apart by."""

    where: str
    metric: str
    matchers: tuple[tuple[str, str], ...]
    kept: frozenset[str]


def uses(where: str, query: str) -> list[Use]:
    selectors: list[Use] = []
    kept: list[frozenset[str]] = [frozenset()]

    def enter(node) -> None:
        if isinstance(node, promql.AggregateExpr):
            kept.append(kept[-1] | frozenset(node.modifier.labels if node.modifier else ()))
        if isinstance(node, promql.VectorSelector):
            matchers = tuple(
                (matcher.name, matcher.value)
                for matcher in node.matchers.matchers
                if matcher.op == promql.MatchOp.Equal
            )
            names = frozenset(matcher.name for matcher in node.matchers.matchers)
            selectors.append(Use(where, node.name, matchers, kept[-1] | names))

    def leave(node) -> None:
        if isinstance(node, promql.AggregateExpr):
            kept.pop()

    promql.walk(promql.parse(query), enter, leave)
    return selectors


def dashboard() -> list[Use]:
    board = json.loads((DEPLOY / "grafana/dashboard.json").read_text())
    queries = [
        (panel["title"], target["expr"].replace("$__rate_interval", "1m").replace("$__range", "1h"))
        for panel in board["panels"]
        for target in panel.get("targets", [])
    ]
    queries += [
        (variable["name"], variable["query"]["query"].removeprefix("label_values(").split(",")[0])
        for variable in board["templating"]["list"]
        if variable["type"] == "query"
    ]
    return [use for title, query in queries for use in uses(f"dashboard, {title}", query)]


def alerts() -> list[Use]:
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]
    rules = [(rule["alert"], rule["expr"]) for group in groups for rule in group["rules"]]
    return [use for name, query in rules for use in uses(f"alert {name}", query) if use.metric != "up"]


def autoscaler() -> list[Use]:
    rules = yaml.safe_load((DEPLOY / "kubernetes/adapter-rules.yaml").read_text())["rules"]
    queries = []
    for rule in rules:
        matched, series = rule["seriesQuery"], promql.parse(rule["seriesQuery"]).name
        words = {"<<.Series>>": series, "<<.LabelMatchers>>": 'pod="a"', "<<.GroupBy>>": "pod"}
        query = rule["metricsQuery"]
        for word, text in words.items():
            query = query.replace(word, text)
        queries += [matched, query]
    return [use for query in queries for use in uses("adapter rules", query)]


@pytest.fixture(scope="module")
def samples(replicas) -> dict[str, dict[str, set[str]]]:
    """Label values by label by sample name, of a replica that has scored, compared, failed and refused."""
    with httpx.Client(base_url=f"http://{replicas[0].address}", timeout=GENEROUS_S) as client:
        request = grey_request(3)
        videos = [grey_video(3), {"data": b64(b"no video")}]
        assert client.post("/v1/score", json=request).status_code == 200
        group = client.post("/v1/groups", json={"references": request["references"], "videos": videos}).json()
        assert "error" in group["items"][1]
        pair = {"references": request["references"], "video_a": grey_video(3), "video_b": grey_video(4)}
        assert client.post("/v1/compare", json=pair).status_code == 200
        assert client.post("/v1/score", json={}).status_code == 400
        job = {"content": json.dumps(request), "headers": {"Content-Type": "application/x-ndjson"}}
        assert client.post("/v1/jobs", **job).status_code == 202
        wait_until(lambda: replicas[0].count('identity_reward_job_items_total{outcome="scored"}'), "the job is done")
        text = client.get("/metrics").text
    exported: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = exported.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    return exported


LABEL_VALUES = {
    "code": {cls.code for cls in server_errors()},
    "priority": set(PRIORITIES),
    "verdict": {preference.value for preference in Preference},
    "outcome": {"scored", "failed"},
}


@pytest.mark.parametrize("read", [dashboard, alerts, autoscaler])
def test_every_queried_metric_and_label_is_exported(samples, read):
    queried = read()
    assert queried
    for use in queried:
        assert use.metric in samples, use
        assert use.kept <= set(samples[use.metric]) | FROM_PROMETHEUS, use
        for label, value in use.matchers:
            assert label not in LABEL_VALUES or value in LABEL_VALUES[label], use


def test_the_dashboard_shows_every_metric(samples):
    def family(name: str) -> str:
        return re.sub("_(bucket|sum|count)$", "", name)

    shown = {family(use.metric) for use in dashboard()}
    assert {family(name) for name in samples if not name.endswith("_created")} <= shown


def test_a_metric_that_is_not_exported_is_noticed(samples):
    (use,) = uses("here", 'sum by (colour) (rate(identity_reward_items_total{model="x"}[5m]))')
    assert (use.metric, use.matchers, use.kept) == (
        "identity_reward_items_total", (("model", "x"),), {"colour", "model"},
    )  # fmt: skip
    assert not use.kept <= set(samples[use.metric])


def test_codes_of_alerts_by_pattern_exist():
    for group in yaml.safe_load((DEPLOY / "prometheus/alerts.yml").read_text())["groups"]:
        for rule in group["rules"]:
            for pattern in rule["expr"].split('code=~"')[1:]:
                assert set(pattern.split('"')[0].split("|")) <= LABEL_VALUES["code"], rule["alert"]


def test_the_routes_of_alerts_are_those_that_score():
    text = (DEPLOY / "prometheus/alerts.yml").read_text()
    pattern = re.compile(re.search(r'route=~"([^"]*)"', text)[1])
    scoring = {route.path for route in ROUTES if route.scores and not route.path.startswith("/v1/jobs")}
    scoring |= {path for path in PATHS if path.rpartition("/")[2].startswith(("Score", "Compare"))}
    others = {route.path for route in ROUTES} | set(PATHS) - scoring
    assert all(pattern.fullmatch(path) for path in scoring), scoring
    assert not any(pattern.fullmatch(path) for path in others - scoring), others


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "config", "--syntax-only", "prometheus.yml"],
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
    ],
    ids=" ".join,
)
def test_promtool_accepts_configuration_and_rules(arguments):
    completed = subprocess.run(
        [tool("promtool"), *arguments], cwd=DEPLOY / "prometheus", capture_output=True, text=True
    )
    assert completed.returncode == 0, completed.stdout + completed.stderr
