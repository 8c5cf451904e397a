"""Requests that schemathesis derives from the OpenAPI document, valid or not: the answers keep to the document."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from service.auth import tokens
from service.http.routes import ROUTES
from tests.e2e.hostile_inputs import schemathesis_hooks
from tests.support.waiting import GENEROUS_S

SECONDS = 60
# no schema says whether bytes are an image, or that one of `data`, `frames`, ... has to be there; and a
# job that is cancelled can still be asked for
EXCLUDED_CHECKS = "positive_data_acceptance,use_after_free"


@pytest.mark.slow
def test_the_answers_keep_to_the_document(serve, tmp_path):
    token = tokens.create(tmp_path / "tokens", "schemathesis", "admin")
    environment = {"IDENTITY_REWARD_TOKENS_PATH": str(tmp_path / "tokens")}
    arguments = ("--model", "tiny", "--port", "0", "--jobs", str(tmp_path / "jobs"))
    server = serve(*arguments, environment=environment).wait_ready()
    headers = {"Authorization": f"Bearer {token}"}
    command = [str(Path(sys.executable).parent / "schemathesis"), "run", f"{server.url}/openapi.json", "--no-color"]
    command += ["--header", f"Authorization: Bearer {token}", "--checks", "all", "--exclude-checks", EXCLUDED_CHECKS]
    command += ["--max-time", str(SECONDS), "--continue-on-failure", "--seed", "1"]
    completed = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "SCHEMATHESIS_HOOKS": schemathesis_hooks.__name__},
        capture_output=True,
        text=True,
        timeout=SECONDS * 5,
    )
    print(completed.stdout)
    assert completed.returncode == 0, completed.stdout
    assert int(re.search(r"Tested: (\d+)", completed.stdout)[1]) == len(ROUTES) - 1, "all but the document itself"
    assert int(re.search(r"(\d+) generated", completed.stdout)[1]) > 500
    assert httpx.get(f"{server.url}/readyz", headers=headers, timeout=GENEROUS_S).status_code == 200
    assert not [line for line in server.err if "Traceback" in line or "internal error" in line]
    assert server.end() == 0
