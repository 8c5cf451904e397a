"""Dockerfile and Compose files: linted, and compared with the tree, the package and the settings that they name."""

import fnmatch
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from service.operations.supervisor import GRACE_S
from service.settings.groups import PREFIX
from service.settings.settings import Settings
from tests.service.flat_settings import settings_from
from tests.support.paths import ROOT

from .conftest import DEPLOY

HOSTLESS = re.compile(r"[a-z0-9-]+(/[a-z0-9-]+)?(:[\w.$ {}:-]+)?")


@pytest.fixture(scope="module")
def dockerfile() -> list[tuple[str, str]]:
    """(instruction, its rest), continued lines joined."""
    lines = [line for line in (DEPLOY / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    return [tuple(line.split(None, 1)) for line in re.sub(r"\s*\\\n\s*", " ", "\n".join(lines)).splitlines() if line]


class Loader(yaml.SafeLoader):
    """With Compose's tag for what an override takes away."""


Loader.add_constructor("!reset", lambda *_: None)


def compose(name: str) -> dict:
    return yaml.load((DEPLOY / name).read_text(), Loader)


def test_hadolint_finds_nothing():
    command = [Path(sys.executable).parent / "hadolint", "Dockerfile"]
    result = subprocess.run(command, cwd=DEPLOY, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout


def test_copied_files_exist_and_are_not_ignored(dockerfile):
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    kept = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    sources = [
        word for verb, rest in dockerfile if verb == "COPY" and "--from" not in rest for word in rest.split()[:-1]
    ]
    assert rules[0] == "*"
    assert set(sources) == set(kept)
    for source in sources:
        assert (ROOT / source).exists(), source
        assert not any(fnmatch.fnmatch(source, rule) for rule in rules[1:] if not rule.startswith("!"))


def test_everything_that_the_wheel_is_made_of_is_copied(dockerfile):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    copied = {
        word for verb, rest in dockerfile if verb == "COPY" and "--from" not in rest for word in rest.split()[:-1]
    }
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    files = [project["project"]["readme"], *project["project"]["license-files"]]
    assert {name.split("/")[0] for name in [*packages, *files]} <= copied
    (pip,) = [rest for verb, rest in dockerfile if verb == "RUN" and "/pip install" in rest]
    extras = re.search(r'"\.\[([\w,]+)\]"', pip)[1].split(",")
    assert set(extras) <= set(project["project"]["optional-dependencies"])
    assert "-c constraints.txt ./clients" in pip


def test_the_image_starts_one_process_that_handles_signals(dockerfile):
    (entry,) = [json.loads(rest) for verb, rest in dockerfile if verb == "ENTRYPOINT"]
    assert entry[:2] == ["identity-reward", "serve"]
    check_options(entry[2:])
    assert ("STOPSIGNAL", "SIGTERM") in dockerfile
    last = next(index for index in reversed(range(len(dockerfile))) if dockerfile[index][0] == "FROM")
    assert "USER" in [verb for verb, _ in dockerfile[last:]]
    (check,) = [rest for verb, rest in dockerfile if verb == "HEALTHCHECK"]
    compile(json.loads(check[check.index("[") :])[2], "HEALTHCHECK", "exec")


def check_options(arguments: list[str]) -> None:
    """That `identity-reward serve` has them."""
    import typer

    from service.cli import serve

    app = typer.Typer()
    app.command()(serve)
    shown = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"}).output
    for option in arguments[::2]:
        assert re.search(rf"(^|\s){option}\b", shown), option


def test_settings_are_those_of_the_service(dockerfile):
    environment = dict(word.split("=", 1) for verb, rest in dockerfile if verb == "ENV" for word in shlex.split(rest))
    for replica in ("reward-0", "reward-1"):
        environment |= compose("compose.yaml")["services"][replica]["environment"]
    environment |= compose("compose.cpu.yaml")["services"]["reward-0"]["environment"]
    ours = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    assert set(ours) <= set(Settings.variables())
    assert settings_from(ours).auth.open_probes


def test_images_are_named_without_a_host(dockerfile):
    names = [rest.split()[0] for verb, rest in dockerfile if verb == "FROM"]
    names += [rest.partition("=")[2] for verb, rest in dockerfile if verb == "ARG"]
    names += [service["image"] for service in compose("compose.yaml")["services"].values()]
    names += [compose("compose.cpu.yaml")["services"]["reward-0"]["build"]["args"]["BASE_IMAGE"]]
    for name in names:
        assert name == "${BASE_IMAGE}" or HOSTLESS.fullmatch(name), name


def test_each_replica_has_a_gpu_an_address_and_a_home_of_its_own():
    services = compose("compose.yaml")["services"]
    replicas = {name: service for name, service in services.items() if name.startswith("reward-")}
    gpus = [replica["deploy"]["resources"]["reservations"]["devices"][0]["device_ids"] for replica in replicas.values()]
    assert sorted(gpus) == [[str(number)] for number in range(len(replicas))]
    homes = [
        volume.split(":")[0] for replica in replicas.values() for volume in replica["volumes"] if "/home" in volume
    ]
    assert len(set(homes)) == len(replicas)
    addresses = {name: replica["networks"]["reward"]["ipv4_address"] for name, replica in replicas.items()}
    assert dict(line.split(":") for line in services["nginx"]["extra_hosts"]) == addresses
    upstreams = re.findall(r"server ([\w-]+):(\d+)", (DEPLOY / "nginx/replicas.conf").read_text())
    assert {name for name, port in upstreams if port == "3000"} == set(replicas)
    assert {name for name, port in upstreams if port == "50051"} == set(replicas)
    (scraped,) = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"]
    assert scraped["static_configs"][0]["targets"] == [f"{name}:3000" for name in replicas]
    for replica in replicas.values():
        assert float(replica["stop_grace_period"].removesuffix("s")) > Settings().operations.drain_timeout_s + GRACE_S
        assert replica["command"][0] == "--model"


def test_files_networks_volumes_and_secrets_that_services_name_are_there():
    whole = compose("compose.yaml")
    for name, service in whole["services"].items():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (DEPLOY / source).exists(), f"{name}: {source}"
            elif not source.startswith("$"):
                assert source in whole["volumes"], f"{name}: {source}"
        assert set(service["networks"]) <= set(whole["networks"])
        assert set(service.get("secrets", [])) <= set(whole["secrets"])
        assert "container_name" not in service
    token = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"][0]["authorization"]
    assert token["credentials_file"].removeprefix("/run/secrets/") in whole["services"]["prometheus"]["secrets"]
    for secret in whole["secrets"].values():
        assert os.path.normpath(secret["file"]).startswith("secrets/")


def test_without_gpus_nothing_asks_for_one():
    services = compose("compose.cpu.yaml")["services"]
    assert set(services) == {name for name in compose("compose.yaml")["services"] if name.startswith("reward-")}
    for service in services.values():
        assert "deploy" in service
        assert service["deploy"] is None
        assert service["environment"][f"{PREFIX}DEVICE"] == "cpu"


def test_grafana_finds_the_dashboard_and_its_source():
    board = json.loads((DEPLOY / "grafana/dashboard.json").read_text())
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/identity-reward.yml").read_text())
    mounted = [volume.split(":")[1] for volume in compose("compose.yaml")["services"]["grafana"]["volumes"]]
    assert f"{provider['providers'][0]['options']['path']}/identity-reward.json" in mounted
    source = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
