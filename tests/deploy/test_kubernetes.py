"""The manifests against Kubernetes' own schemas, and against the service that they start."""

import kubernetes_validate
import pytest
import yaml

from service.operations.supervisor import GRACE_S
from service.settings.settings import Settings
from tests.service.flat_settings import settings_from

from .conftest import DEPLOY

FOLDER = DEPLOY / "kubernetes"
# the oldest that is still looked after, and the newest that the schemas are there for
VERSIONS = ("1.34", "1.37")
# resources of operators have schemas of their own
FOREIGN = {"PodMonitor"}


def documents() -> list[tuple[str, dict]]:
    names = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    return [(name, one) for name in names for one in yaml.safe_load_all((FOLDER / name).read_text())]


def resource(kind: str) -> dict:
    (found,) = [one for _, one in documents() if one["kind"] == kind]
    return found


@pytest.fixture(scope="module")
def container() -> dict:
    (one,) = resource("Deployment")["spec"]["template"]["spec"]["containers"]
    return one


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "document"), [pytest.param(*one, id=f"{one[0]}-{one[1]['metadata']['name']}") for one in documents()]
)
def test_manifests_fit_the_schemas(version, name, document):
    if document["kind"] in FOREIGN:
        assert not document["apiVersion"].split("/")[0].endswith("k8s.io")
        return
    kubernetes_validate.validate(document, version, strict=True)


def test_a_manifest_that_does_not_fit_is_noticed():
    broken = resource("Service") | {"spec": {"ports": [{"prot": 3000}]}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, VERSIONS[0], strict=True)


def test_every_manifest_is_listed():
    listed = set(yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"])
    assert {path.name for path in FOLDER.glob("*.yaml")} - {"kustomization.yaml", "adapter-rules.yaml"} == listed


def test_all_speak_of_the_same_pods():
    deployment = resource("Deployment")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    assert resource("Service")["spec"]["selector"] == labels
    assert resource("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == labels
    assert resource("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert resource("PodMonitor")["spec"]["selector"]["matchLabels"] == labels
    target = resource("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert target["name"] == resource("Deployment")["metadata"]["name"]


def test_ports_go_by_the_names_of_the_container(container):
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    assert ports == {"http": 3000, "grpc": 50051}
    assert {one["targetPort"]: one["port"] for one in resource("Service")["spec"]["ports"]} == ports
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
    for _, one in documents():
        if one["kind"] == "Ingress":
            backends = [path["backend"] for rule in one["spec"]["rules"] for path in rule["http"]["paths"]]
            assert all(backend["service"]["port"]["name"] in ports for backend in backends)


def test_settings_are_those_of_the_service(container):
    given = {one["name"]: one["value"] for one in container["env"]}
    assert set(given) <= set(Settings.variables())
    settings = settings_from(given)
    assert settings.auth.open_probes, "the kubelet has no token"
    assert settings.auth.tokens_path.is_relative_to(
        next(one["mountPath"] for one in container["volumeMounts"] if one["name"] == "tokens")
    )


def test_a_pod_has_the_time_to_drain(container):
    spec = resource("Deployment")["spec"]["template"]["spec"]
    settings = settings_from({one["name"]: one["value"] for one in container["env"]})
    waits_s = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert spec["terminationGracePeriodSeconds"] > waits_s + settings.operations.drain_timeout_s + GRACE_S


def test_the_autoscaler_acts_before_calls_are_refused():
    (metric,) = resource("HorizontalPodAutoscaler")["spec"]["metrics"]
    (rule,) = yaml.safe_load((FOLDER / "adapter-rules.yaml").read_text())["rules"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
    assert int(metric["pods"]["target"]["averageValue"]) * 2 < Settings().scheduling.max_waiting_tokens


def test_proxies_wait_longer_than_the_service():
    for name, one in documents():
        if name == "ingress.yaml":
            notes = one["metadata"]["annotations"]
            assert int(notes["nginx.org/proxy-read-timeout"].removesuffix("s")) > Settings().requests.request_timeout_s
            assert notes["nginx.org/lb-method"] == "hash $reward_route consistent"
