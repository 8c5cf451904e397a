"""`identity-reward grpo` trains if no command is named; what a training does is tested in tests/e2e/training."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from trainer.cli import grpo


def run(*arguments):
    return CliRunner().invoke(grpo, arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-config", "--out", "{out}"),
        ("train", "no-config", "--out", "{out}"),
        ("--out", "{out}", "no-config"),
        ("--set", "steps=1", "-o", "{out}", "no-config"),
    ],
    ids=" ".join,
)
def test_arguments_without_a_command_are_those_of_a_training(tmp_path, arguments):
    result = run(*(part.format(out=tmp_path / "run") for part in arguments))
    assert result.exit_code == 2
    assert result.output.startswith("identity-reward grpo: no-config is no file and no shipped config")


def test_a_configuration_with_the_name_of_a_command_is_given_as_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "prompts").write_text("kind: grpo\nsteps: none\n")
    for arguments in (("./prompts",), ("train", "prompts"), ("--out", "run", "prompts")):
        result = run(*arguments, *(() if "--out" in arguments else ("--out", "run")))
        assert result.exit_code == 2
        assert "steps" in result.output
    assert "Missing argument 'data'" not in result.output


def test_help_shows_all_commands_and_each_has_its_own():
    overview = run("--help")
    assert overview.exit_code == 0
    for text in ("grpo CONFIG --out RUN", "train", "prompts"):
        assert text in overview.output
    assert "--resume" in run("smoke", "--help").output
    assert "--base-url" in run("prompts", "--help").output


def test_nothing_at_all_shows_the_help():
    result = run()
    assert result.exit_code == 2
    assert "prompts" in result.output


def test_processes_of_accelerate_take_the_same_arguments(tmp_path):
    command = [sys.executable, "-m", "trainer.cli", "no-config", "--out", str(tmp_path / "run")]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert "no-config is no file" in result.stderr
