import pytest
from typer.testing import CliRunner

from service.auth import tokens
from service.auth.cli import app


def run(*arguments, **environment):
    return CliRunner().invoke(app, [*arguments], env=environment)


def test_create_list_and_revoke(file):
    created = run("create", "anna", "--scope", "admin", "--file", str(file))
    assert created.exit_code == 0
    token = created.stdout.strip()
    assert tokens.digest(token) == tokens.read(file)[0].sha256
    assert token not in created.stderr
    listed = run("list", IDENTITY_REWARD_TOKENS_PATH=str(file))
    assert "anna" in listed.stdout
    assert "admin" in listed.stdout
    assert token not in listed.stdout
    assert run("revoke", "anna", "--file", str(file)).exit_code == 0
    assert tokens.read(file) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("create", "an/na", "--file", "tokens"), "a name has 1 to 64 letters"),
        (("create", "anna"), "no file of tokens is given: use --file or IDENTITY_REWARD_TOKENS_PATH"),
        (("create", "anna", "--file", "no/such/folder/tokens"), "No such file or directory"),
        (("revoke", "anna", "--file", "gone"), "gone doesn't exist"),
        (("list", "--file", "gone"), "No such file or directory"),
    ],
)
def test_failures_are_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed = run(*arguments)
    assert failed.exit_code == 2
    assert message in failed.stderr
    assert len(failed.stderr.splitlines()) == 1
    assert not failed.stdout


def test_a_name_is_unique_and_only_existing_tokens_are_revoked(file):
    run("create", "anna", "--file", str(file))
    assert "has a token 'anna' already" in run("create", "anna", "--file", str(file)).stderr
    assert "has no token 'ben'" in run("revoke", "ben", "--file", str(file)).stderr
