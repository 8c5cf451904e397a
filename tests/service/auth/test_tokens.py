import os
import stat
import threading

import pytest

from service.auth import tokens
from service.auth.tokens import TokenFileError

HASH = "sha256:" + "0" * 64


def test_tokens_are_long_and_unique(file):
    created = {tokens.create(file, f"t{i}", "score") for i in range(20)}
    assert len(created) == 20
    assert all(len(token) >= len("idr_") + 43 for token in created)  # 256 bits in base64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"# ours\n\nanna score {HASH}\nanna admin {HASH}\n", "line 4: a second token is called 'anna'"),
        ("anna score\n", "line 1: needs NAME SCOPE sha256:HEX, got 2 words"),
        (f"anna root {HASH}\n", "line 1: the scope must be one of score, admin"),
        ("anna score sha256:12\n", "line 1: the third word must be sha256: and 64 hex digits"),
        (f"an/na score {HASH}\n", "line 1: a name has 1 to 64 letters"),
    ],
)
def test_a_bad_line_is_named(file, text, message):
    file.write_text(text)
    with pytest.raises(TokenFileError) as caught:
        tokens.read(file)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "sha256:0" not in str(caught.value)


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


def test_concurrent_edits_lose_no_line(file):
    threads = [threading.Thread(target=tokens.create, args=(file, f"t{i}", "score")) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {token.name for token in tokens.read(file)} == {f"t{i}" for i in range(16)}
