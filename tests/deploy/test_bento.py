"""The Bento builds without a network and serves where this project is not installed."""

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import httpx
import psutil
import pytest

from tests.support.paths import ROOT
from tests.support.ports import free_port, is_listening
from tests.support.server import end_with_children
from tests.support.waiting import GENEROUS_S, wait_until


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    home = tmp_path_factory.mktemp("bentoml-home")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("IDENTITY_REWARD_")}
    kept.pop("PYTHONPATH", None)
    # an index that nobody answers: a build that asks one fails
    offline = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "UV_INDEX_URL": "http://127.0.0.1:9/", "UV_OFFLINE": "1"}
    return {**kept, **offline, "BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"}


@pytest.fixture(scope="module")
def bento(environment) -> Path:
    built = subprocess.run(
        [sys.executable, "-m", "bentoml", "build", "-o", "tag"],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=GENEROUS_S,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    tag = re.search(r"identity_reward:(\w+)", built.stdout)[1]
    return Path(environment["BENTOML_HOME"]) / "bentos/identity_reward" / tag


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory) -> Path:
    """An interpreter that sees the site-packages but none of our editable installs: nested .pth files don't count."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False, symlinks=True)
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "main.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = folder / "bin/python"
    for name in ("service", "reward_model", "identity_reward_client", "frame_ops"):
        missing = subprocess.run([python, "-c", f"import {name}"], cwd=folder, capture_output=True, text=True)
        assert "ModuleNotFoundError" in missing.stderr, f"{name} is installed here"
    return python


def test_the_bento_holds_every_kind_of_file(bento):
    inside = {str(path.relative_to(bento / "src")) for path in (bento / "src").rglob("*") if path.is_file()}
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    folders = ("service/", "reward_model/", "kernels/", "clients/identity_reward_client/")
    ours = {name for name in listed if name.startswith(folders) and (ROOT / name).exists()}
    assert ours <= inside
    assert not [name for name in inside if name.startswith("tests/") or "__pycache__" in name]


def test_the_requirements_are_the_packages_of_the_project(bento):
    def required(path: str, *extras: str) -> set[str]:
        project = tomllib.loads((ROOT / path).read_text())["project"]
        lines = project["dependencies"] + [line for name in extras for line in project["optional-dependencies"][name]]
        return {re.match(r"[\w-]+", line)[0] for line in lines} - {"identity-reward-client"}

    packed = {re.match(r"[\w-]+", line)[0] for line in (bento / "env/python/requirements.txt").read_text().splitlines()}
    assert required("pyproject.toml", "serve", "faces") | required("clients/pyproject.toml") <= packed


def test_the_bento_scores_a_clip_with_nothing_of_ours_installed(bento, bare_python, environment, score_body):
    port = free_port()
    command = [str(bare_python), "-m", "bentoml", "serve", str(bento), "--host", "127.0.0.1", "--port", str(port)]
    log = bento.parent / "log"
    with log.open("w") as file:
        served = psutil.Popen(
            command, cwd=bento, stdout=file, stderr=file,
            env={**environment, "IDENTITY_REWARD_MODELS": "tiny", "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    try:
        body = {name: value for name, value in score_body.items() if name != "model"}

        def answered() -> httpx.Response | None:
            assert served.poll() is None, log.read_text()
            if not is_listening(port):
                return None
            try:
                return httpx.post(f"http://127.0.0.1:{port}/v1/score", json=body, timeout=GENEROUS_S)
            except httpx.TransportError:
                return None

        answer = wait_until(answered, "the Bento answers")
        assert answer.status_code == 200, answer.text
        assert answer.json()["model"]["name"] == "tiny"
        folders = [Path(process.cwd()) for process in served.children(recursive=True)]
        assert bento / "src" in folders, "the workers run in the Bento's own copy"
    finally:
        end_with_children(served)
