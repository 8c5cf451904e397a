"""The file of tokens, the verbs that write it, and who gets in by it."""

import logging
import os
import stat
import threading

import pytest
from typer.testing import CliRunner

from identity_reward_client.errors import PermissionDenied, Unauthenticated
from service.auth import authenticator as auth
from service.auth import tokens
from service.auth.authenticator import Authenticator
from service.auth.cli import app
from service.auth.tokens import TokenFileError

HASH = "sha256:" + "0" * 64


@pytest.fixture
def file(tmp_path):
    return tmp_path / "tokens"


@pytest.fixture
def authenticator(file, monkeypatch):
    monkeypatch.setattr(auth, "_LOOK_S", 0.0)

    def make() -> Authenticator:
        made = Authenticator(file)
        made.load()
        return made

    return make


def test_a_token_is_kept_as_its_hash_and_lets_in(file, authenticator):
    token = tokens.create(file, "anna", "score")
    assert token not in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for scheme in ("Bearer", "bearer", "BEARER  "):
        assert authenticator().check(f"{scheme} {token}", "score") == "anna"


def test_tokens_are_long_and_differ(file):
    made = {tokens.create(file, f"t{i}", "score") for i in range(20)}
    assert len(made) == 20
    assert all(len(token) >= len("idr_") + 43 for token in made)  # 256 bits in base64


def test_without_a_file_everybody_gets_in_and_has_no_name():
    assert Authenticator(None).check(None, "admin") is None


@pytest.mark.parametrize(
    "given", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer wrong", "Bearer a, Bearer b", "Bearer " + "x" * 9999,
              "Bearer \u00fc", HASH, f"Bearer {HASH}"]
)  # fmt: skip
def test_what_is_no_known_token_is_unauthenticated_and_not_repeated(file, authenticator, given):
    file.write_text(f"anna score {HASH}\n")
    with pytest.raises(Unauthenticated) as caught:
        authenticator().check(given, "score")
    assert "wrong" not in str(caught.value)
    assert "xxx" not in str(caught.value)


def test_admin_implies_score_and_score_is_not_admin(file, authenticator):
    score, admin = tokens.create(file, "anna", "score"), tokens.create(file, "ops", "admin")
    checked = authenticator()
    assert [checked.check(f"Bearer {admin}", scope) for scope in tokens.SCOPES] == ["ops", "ops"]
    with pytest.raises(PermissionDenied, match="takes a token of scope admin; 'anna' has scope score"):
        checked.check(f"Bearer {score}", "admin")


def test_an_empty_file_lets_nobody_in(file, authenticator):
    file.write_text("# nobody yet\n")
    with pytest.raises(Unauthenticated):
        authenticator().check("Bearer x", "score")


def test_a_changed_file_is_read_again(file, authenticator):
    first = tokens.create(file, "anna", "score")
    checked = authenticator()
    second = tokens.create(file, "ben", "score")
    assert checked.check(f"Bearer {second}", "score") == "ben"
    tokens.revoke(file, "anna")
    with pytest.raises(Unauthenticated):
        checked.check(f"Bearer {first}", "score")
    assert checked.check(f"Bearer {second}", "score") == "ben"


@pytest.mark.parametrize("change", ["bad line", "gone", "not text", "writable"])
def test_a_file_that_went_bad_keeps_the_tokens_and_says_so_once(file, authenticator, caplog, change):
    token = tokens.create(file, "anna", "score")
    checked = authenticator()
    with caplog.at_level(logging.ERROR):
        if change == "gone":
            file.unlink()
        elif change == "writable":
            file.chmod(0o666)
        else:
            file.write_bytes(b"anna score\n" if change == "bad line" else b"\xff\xfe\n")
        for _ in range(3):
            assert checked.check(f"Bearer {token}", "score") == "anna"
    assert len(caplog.records) == 1
    assert "the tokens stay as they were" in caplog.text
    if change == "writable":
        file.chmod(0o600)
    other = None if change == "writable" else _rewritten(file)
    if other:
        assert checked.check(f"Bearer {other}", "score") == "new"


def _rewritten(file) -> str:
    file.unlink(missing_ok=True)
    return tokens.create(file, "new", "score")


def test_a_look_at_the_file_is_rare(file, monkeypatch):
    token = tokens.create(file, "anna", "score")
    checked = Authenticator(file)
    checked.load()
    looks = []
    monkeypatch.setattr(auth, "_stamp", lambda path: looks.append(path))
    for _ in range(100):
        checked.check(f"Bearer {token}", "score")
    assert not looks


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"# ours\n\nanna score {HASH}\nanna admin {HASH}\n", "line 4: a second token is called 'anna'"),
        ("anna score\n", "line 1: needs NAME SCOPE sha256:HEX, got 2 words"),
        (f"anna root {HASH}\n", "line 1: the scope must be one of score, admin"),
        ("anna score sha256:12\n", "line 1: the third word must be sha256: and 64 hex digits"),
        (f"an/na score {HASH}\n", "line 1: a name has 1 to 64 letters"),
    ],
)
def test_a_bad_line_is_named(file, text, says):
    file.write_text(text)
    with pytest.raises(TokenFileError) as caught:
        tokens.read(file)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "sha256:0" not in str(caught.value)


def test_a_file_that_others_may_write_is_refused_and_one_they_may_read_is_warned_of(file, caplog):
    file.write_text(f"anna score {HASH}\n")
    file.chmod(0o620)
    with pytest.raises(TokenFileError, match="may be written by others than its owner"):
        Authenticator(file).load()
    file.chmod(0o644)
    Authenticator(file).load()
    assert "can be read by every user" in caplog.text


def test_a_missing_file_names_the_verb_that_makes_it(file):
    with pytest.raises(TokenFileError, match="No such file or directory; `identity-reward token create"):
        Authenticator(file).load()


def test_editing_keeps_comments_mode_and_the_link_to_the_file(file, tmp_path):
    file.write_text(f"# ours\nanna score {HASH}")
    file.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(file)
    tokens.create(link, "ben", "admin")
    tokens.revoke(link, "anna")
    assert link.is_symlink()
    lines = file.read_text().splitlines()
    assert lines[0] == "# ours"
    assert lines[1].startswith("ben admin sha256:")
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["link", "tokens"]


def test_many_at_once_lose_no_line(file):
    threads = [threading.Thread(target=tokens.create, args=(file, f"t{i}", "score")) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {token.name for token in tokens.read(file)} == {f"t{i}" for i in range(16)}


def run(*arguments, **environment):
    return CliRunner().invoke(app, [*arguments], env=environment)


def test_the_verbs(file):
    made = run("create", "anna", "--scope", "admin", "--file", str(file))
    assert made.exit_code == 0
    token = made.stdout.strip()
    assert tokens.digest(token) == tokens.read(file)[0].sha256
    assert token not in made.stderr
    listed = run("list", IDENTITY_REWARD_TOKENS_PATH=str(file))
    assert "anna" in listed.stdout
    assert "admin" in listed.stdout
    assert token not in listed.stdout
    assert run("revoke", "anna", "--file", str(file)).exit_code == 0
    assert tokens.read(file) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("create", "an/na", "--file", "tokens"), "a name has 1 to 64 letters"),
        (("create", "anna"), "say which file: --file, or IDENTITY_REWARD_TOKENS_PATH"),
        (("create", "anna", "--file", "no/such/folder/tokens"), "No such file or directory"),
        (("revoke", "anna", "--file", "gone"), "gone doesn't exist"),
        (("list", "--file", "gone"), "No such file or directory"),
    ],
)
def test_the_verbs_fail_with_one_line(arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    failed = run(*arguments)
    assert failed.exit_code == 2
    assert says in failed.stderr
    assert len(failed.stderr.splitlines()) == 1
    assert not failed.stdout


def test_a_name_is_given_once_and_only_what_is_there_is_revoked(file):
    run("create", "anna", "--file", str(file))
    assert "has a token 'anna' already" in run("create", "anna", "--file", str(file)).stderr
    assert "has no token 'ben'" in run("revoke", "ben", "--file", str(file)).stderr
