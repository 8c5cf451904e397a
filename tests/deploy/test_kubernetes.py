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
OPERATOR_KINDS = {"PodMonitor"}


def documents() -> list[tuple[str, dict]]:
    names = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    return [(name, document) for name in names for document in yaml.safe_load_all((FOLDER / name).read_text())]


def resource(kind: str) -> dict:
    (match,) = [document for _, document in documents() if document["kind"] == kind]
    return match


@pytest.fixture(scope="module")
def container() -> dict:
    (container,) = resource("Deployment")["spec"]["template"]["spec"]["containers"]
    return container


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    ("name", "document"),
    [pytest.param(*entry, id=f"{entry[0]}-{entry[1]['metadata']['name']}") for entry in documents()],
)
def test_manifests_fit_the_schemas(version, name, document):
    if document["kind"] in OPERATOR_KINDS:
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


def test_all_manifests_select_the_same_pods():
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
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": 3000, "grpc": 50051}
    assert {port["targetPort"]: port["port"] for port in resource("Service")["spec"]["ports"]} == ports
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["port"] in ports
    for _, document in documents():
        if document["kind"] == "Ingress":
            backends = [path["backend"] for rule in document["spec"]["rules"] for path in rule["http"]["paths"]]
            assert all(backend["service"]["port"]["name"] in ports for backend in backends)


def test_settings_are_those_of_the_service(container):
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    assert set(environment) <= set(Settings.variables())
    settings = settings_from(environment)
    assert settings.auth.open_probes, "the kubelet has no token"
    assert settings.auth.tokens_path.is_relative_to(
        next(mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "tokens")
    )


def test_a_pod_has_the_time_to_drain(container):
    spec = resource("Deployment")["spec"]["template"]["spec"]
    settings = settings_from({variable["name"]: variable["value"] for variable in container["env"]})
    waits_s = float(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert spec["terminationGracePeriodSeconds"] > waits_s + settings.operations.drain_timeout_s + GRACE_S


def test_the_autoscaler_acts_before_calls_are_refused():
    (metric,) = resource("HorizontalPodAutoscaler")["spec"]["metrics"]
    (rule,) = yaml.safe_load((FOLDER / "adapter-rules.yaml").read_text())["rules"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
    assert int(metric["pods"]["target"]["averageValue"]) * 2 < Settings().scheduling.max_waiting_tokens


def test_proxies_wait_longer_than_the_service():
    for name, document in documents():
        if name == "ingress.yaml":
            notes = document["metadata"]["annotations"]
            assert int(notes["nginx.org/proxy-read-timeout"].removesuffix("s")) > Settings().requests.request_timeout_s
            assert notes["nginx.org/lb-method"] == "hash $reward_route consistent"
