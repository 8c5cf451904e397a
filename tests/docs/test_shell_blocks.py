"""Shell blocks of the pages name commands, options, targets, scripts, routes and bodies that exist."""

import importlib.util
import json
import re
import tomllib

import pytest

from docs.generate.commands import PROGRAM, options
from identity_reward_client import messages
from service.http.routes import openapi_document
from tests.docs.blocks import blocks
from tests.support.paths import ROOT

SHELL = blocks("sh")
OPTIONS = options()
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
URL = re.compile(r"http://127\.0\.0\.1:3000(/[\w.:/$-]*)")


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_options_of_commands_exist(block):
    for words in block.commands:
        names = [word.rpartition("/")[2] for word in words]
        if PROGRAM not in names:
            continue
        arguments = words[names.index(PROGRAM) + 1 :]
        verb = next((arguments[:n] for n in (2, 1) if tuple(arguments[:n]) in OPTIONS), None)
        assert verb, f"{block}: {' '.join(words)} is no command"
        for word in arguments[len(verb) :]:
            if word.startswith("-"):
                assert word.partition("=")[0] in OPTIONS[tuple(verb)], f"{block}: {' '.join(verb)} has no {word}"


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_make_targets_scripts_and_modules_exist(block):
    for words in block.commands:
        if words[0] == "make":
            targets = [word for word in words[1:] if "=" not in word]
            assert set(targets) <= TARGETS, f"{block}: {' '.join(words)}"
        if "-m" in words and words[0] != "pytest" and words[words.index("-m") - 1].rpartition("/")[2] != "pytest":
            module = words[words.index("-m") + 1]
            assert importlib.util.find_spec(module) is not None, f"{block}: no module {module}"
        for word in words:
            if word.startswith("examples/") and word.endswith(".py"):
                assert (ROOT / word).exists(), f"{block}: no {word}"


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_extras_exist(block):
    for extras in re.findall(r"\.\[([\w,]+)\]", block.text):
        assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"]), f"{block}: {extras}"


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_routes_exist(block):
    for path in URL.findall(block.text):
        assert operation_of(path) is not None, f"{block}: no route {path}"


@pytest.mark.parametrize("block", [block for block in SHELL if block.heredocs], ids=str)
def test_bodies_are_valid_requests(block):
    for path, body in zip(URL.findall(block.text), block.heredocs, strict=True):
        text = re.sub(r"\$\((?:[^()]|\([^()]*\))*\)", "QUJD", body).replace("$references", "sha256:" + "0" * 64)
        operation = operation_of(path)
        schema = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
        getattr(messages, schema).model_validate(json.loads(text))


def operation_of(path: str):
    """The first operation with a body, or any, of the route that a path belongs to."""
    for route, operations in openapi_document()["paths"].items():
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(route))
        if re.fullmatch(pattern, path):
            with_body = [operation for operation in operations.values() if "requestBody" in operation]
            return [*with_body, *operations.values()][0]
    return None


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_json_blocks_are_json(block):
    try:
        json.loads(block.text)
    except json.JSONDecodeError:
        for line in block.text.splitlines():  # one value per line
            json.loads(line)
