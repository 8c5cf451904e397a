import logging
import stat
from types import SimpleNamespace

import pytest

from identity_reward_client.errors import PermissionDenied, Unauthenticated
from service.auth import authenticator as module
from service.auth import tokens
from service.auth.authenticator import Authenticator
from service.auth.tokens import TokenFileError

HASH = "sha256:" + "0" * 64


@pytest.fixture
def authenticator(file, monkeypatch):
    monkeypatch.setattr(module, "_CHECK_INTERVAL_S", 0.0)

    def make() -> Authenticator:
        authenticator = Authenticator(file)
        authenticator.load()
        return authenticator

    return make


def test_only_the_hash_of_a_token_is_stored_and_the_token_is_accepted(file, authenticator):
    token = tokens.create(file, "anna", "score")
    assert token not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for scheme in ("Bearer", "bearer", "BEARER  "):
        assert authenticator().check(f"{scheme} {token}", "score") == "anna"


def test_without_a_file_every_call_is_allowed_without_a_name():
    assert Authenticator(None).check(None, "admin") is None


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer wrong", "Bearer a, Bearer b",
               "Bearer " + "x" * 9999, "Bearer \u00fc", HASH, f"Bearer {HASH}"]
)  # fmt: skip
def test_invalid_tokens_are_unauthenticated_and_not_repeated(file, authenticator, header):
    file.write_text(f"anna score {HASH}\n")
    with pytest.raises(Unauthenticated) as caught:
        authenticator().check(header, "score")
    assert "wrong" not in str(caught.value)
    assert "xxx" not in str(caught.value)


def test_admin_implies_score_and_score_is_not_admin(file, authenticator):
    score, admin = tokens.create(file, "anna", "score"), tokens.create(file, "ops", "admin")
    checker = authenticator()
    assert [checker.check(f"Bearer {admin}", scope) for scope in tokens.SCOPES] == ["ops", "ops"]
    with pytest.raises(PermissionDenied, match="requires a token of scope admin; 'anna' has scope score"):
        checker.check(f"Bearer {score}", "admin")


def test_an_empty_token_file_refuses_every_call(file, authenticator):
    file.write_text("# nobody yet\n")
    with pytest.raises(Unauthenticated):
        authenticator().check("Bearer x", "score")


def test_a_changed_file_is_read_again(file, authenticator):
    first = tokens.create(file, "anna", "score")
    checker = authenticator()
    second = tokens.create(file, "ben", "score")
    assert checker.check(f"Bearer {second}", "score") == "ben"
    tokens.revoke(file, "anna")
    with pytest.raises(Unauthenticated):
        checker.check(f"Bearer {first}", "score")
    assert checker.check(f"Bearer {second}", "score") == "ben"


@pytest.mark.parametrize("change", ["bad line", "gone", "not text", "writable"])
def test_a_file_that_becomes_unreadable_keeps_the_tokens_and_is_logged_once(file, authenticator, caplog, change):
    token = tokens.create(file, "anna", "score")
    checker = authenticator()
    with caplog.at_level(logging.ERROR):
        if change == "gone":
            file.unlink()
        elif change == "writable":
            file.chmod(0o666)
        else:
            file.write_bytes(b"anna score\n" if change == "bad line" else b"\xff\xfe\n")
        for _ in range(3):
            assert checker.check(f"Bearer {token}", "score") == "anna"
    assert len(caplog.records) == 1
    assert "the tokens stay as they were" in caplog.text
    if change == "writable":
        file.chmod(0o600)
    other = None if change == "writable" else _rewritten(file)
    if other:
        assert checker.check(f"Bearer {other}", "score") == "new"


def _rewritten(file) -> str:
    file.unlink(missing_ok=True)
    return tokens.create(file, "new", "score")


def test_the_file_is_checked_for_changes_once_per_interval(file, monkeypatch):
    token = tokens.create(file, "anna", "score")
    now = [100.0]
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    checker = Authenticator(file)
    checker.load()
    version = checker._version
    checks = []
    monkeypatch.setattr(module, "_file_version", lambda path: checks.append(path) or version)
    for _ in range(100):
        checker.check(f"Bearer {token}", "score")
    assert not checks
    now[0] += 1.0
    for _ in range(100):
        checker.check(f"Bearer {token}", "score")
    assert checks == [file]


def test_a_file_that_others_can_write_is_refused_and_one_they_can_read_is_logged(file, caplog):
    file.write_text(f"anna score {HASH}\n")
    file.chmod(0o620)
    with pytest.raises(TokenFileError, match="can be written by others than its owner"):
        Authenticator(file).load()
    file.chmod(0o644)
    Authenticator(file).load()
    assert "can be read by every user" in caplog.text


def test_a_missing_file_names_the_command_that_creates_it(file):
    with pytest.raises(TokenFileError, match="No such file or directory; `identity-reward token create"):
        Authenticator(file).load()
