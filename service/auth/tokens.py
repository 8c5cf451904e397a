"""File of bearer tokens with one `NAME SCOPE sha256:HEX` per line; empty lines and lines with # are skipped.

A token has 256 random bits, so a plain SHA-256 protects it: slow, salted hashes are for secrets that can be guessed.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal, get_args

from ..settings.settings import SettingsError

# `score` permits calls of the models, `admin` also operating the server
Scope = Literal["score", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# marks the text as a token, for people and for secret scanners
_PREFIX = "idr_"


class TokenFileError(SettingsError):
    """One line that names the file, the line and the expected form, never a token or a hash."""


@dataclass(frozen=True)
class Token:
    """A line of the file."""

    name: str
    scope: Scope
    # of the whole token text
    sha256: bytes

    def line(self) -> str:
        """The line, with its end."""
        return f"{self.name} {self.scope} sha256:{self.sha256.hex()}\n"


def digest(token: str) -> bytes:
    """SHA-256 of a token."""
    return sha256(token.encode()).digest()


def read(path: Path) -> list[Token]:
    """The tokens of a file. Raises TokenFileError if it can't be read, has a bad line, or others can write to it."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read().decode()
    except OSError as error:
        raise TokenFileError(
            f"tokens_path {path}: {error.strerror}; `identity-reward token create NAME --file PATH` creates it"
        ) from None
    except UnicodeDecodeError:
        raise TokenFileError(f"tokens_path {path} isn't text") from None
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise TokenFileError(f"{path} can be written by others than its owner (mode {mode & 0o777:o}); chmod 600 it")
    return parse(text, path)


def parse(text: str, path: Path) -> list[Token]:
    """The tokens of the file's text; errors name `path` and the line."""
    tokens: dict[str, Token] = {}
    for number, line in enumerate(text.splitlines(), 1):
        token = _parse_line(line, f"{path} line {number}")
        if token is None:
            continue
        if token.name in tokens:
            raise TokenFileError(f"{path} line {number}: a second token is called {token.name!r}; names must differ")
        tokens[token.name] = token
    return [*tokens.values()]


def _parse_line(line: str, where: str) -> Token | None:
    words = line.split()
    if not words or words[0].startswith("#"):
        return None
    if len(words) != 3:
        raise TokenFileError(f"{where}: needs NAME SCOPE sha256:HEX, got {len(words)} words")
    name, scope, hashed = words
    check_name(name, where)
    if scope not in SCOPES:
        raise TokenFileError(f"{where}: the scope must be one of {', '.join(SCOPES)}")
    if not _DIGEST.fullmatch(hashed):
        raise TokenFileError(f"{where}: the third word must be sha256: and 64 hex digits, in lower case")
    return Token(name, scope, bytes.fromhex(hashed.removeprefix("sha256:")))


def check_name(name: str, where: str = "token") -> None:
    """Raise TokenFileError for a bad name."""
    if not _NAME.fullmatch(name):
        raise TokenFileError(f"{where}: a name has 1 to 64 letters, digits, dots, dashes and underscores")


def create(path: Path, name: str, scope: Scope) -> str:
    """Add a new token's hash to the file, which is created with mode 0600 if missing. Returns the token."""
    check_name(name)
    token = _PREFIX + secrets.token_urlsafe(32)
    with _editing(path) as lines:
        if name in (existing.name for existing in parse("".join(lines), path)):
            raise TokenFileError(f"{path} has a token {name!r} already; revoke it first, or choose another name")
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += "\n"
        lines.append(Token(name, scope, digest(token)).line())
    return token


def revoke(path: Path, name: str) -> None:
    """Remove a token from the file."""
    if not path.exists():
        raise TokenFileError(f"{path} doesn't exist")
    with _editing(path) as lines:
        remaining = [line for line in lines if (token := _parse_line(line, str(path))) is None or token.name != name]
        if len(remaining) == len(lines):
            raise TokenFileError(f"{path} has no token {name[:64]!r}")
        lines[:] = remaining


@contextmanager
def _editing(path: Path) -> Iterator[list[str]]:
    """Lines of the file, to be changed in place. The file is replaced atomically when the block ends."""
    path = path.resolve()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)  # otherwise concurrent edits would overwrite each other
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        yield lines
        _replace(path, "".join(lines))
    finally:
        os.close(folder)


def _replace(path: Path, text: str) -> None:
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            if path.exists():
                old = path.stat()
                os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode))
                with suppress(PermissionError):  # only root may change the owner
                    os.fchown(file.fileno(), old.st_uid, old.st_gid)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
