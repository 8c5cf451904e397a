"""Who may call what: bearer tokens, for every transport alike."""

from __future__ import annotations

import hmac
import logging
import math
import os
import re
import stat
import time
from pathlib import Path

from identity_reward_client.errors import PermissionDenied, Unauthenticated

from . import tokens
from .tokens import Scope, Token, TokenFileError

log = logging.getLogger("identity_reward")

# a changed file is noticed within this time
_LOOK_S = 1.0
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/=-]{1,512})", re.IGNORECASE)


class Authenticator:
    """Checks tokens against the file at `path`; without a path everybody may call everything.

    The file is read again when it changes. One that can't be read leaves the tokens as they were, and one log line.
    """

    def __init__(self, path: Path | None):
        self._path = path
        self._tokens: list[Token] = []
        self._stamp: tuple[int, ...] | None = None
        self._looked = -math.inf

    def load(self) -> None:
        """Read the file now; TokenFileError where it can't be used. Else the first check does, and lets nobody in."""
        if self._path is not None:
            stamp = _stamp(self._path)
            self._tokens = tokens.read(self._path)
            self._stamp, self._looked = stamp, time.monotonic()
            _warn_if_public(self._path)

    def check(self, authorization: str | None, scope: Scope) -> str | None:
        """The name of the token in an `Authorization` value; None where no tokens are asked for.

        Unauthenticated without a token that the file knows, PermissionDenied where its scope is less than `scope`.
        """
        if self._path is None:
            return None
        self._look(self._path)
        if authorization is None:
            raise Unauthenticated("this server asks for a token: Authorization: Bearer TOKEN, or the command's --token")
        bearer = _BEARER.fullmatch(authorization.strip())
        found = self._find(tokens.digest(bearer[1])) if bearer else None
        if found is None:
            raise Unauthenticated("the server doesn't know this token; it is sent as Authorization: Bearer TOKEN")
        if scope == "admin" and found.scope != "admin":
            raise PermissionDenied(f"this takes a token of scope admin; {found.name!r} has scope {found.scope}")
        return found.name

    def is_admin(self, name: str | None) -> bool:
        """Whether the token of that name has scope `admin`."""
        return any(token.name == name and token.scope == "admin" for token in self._tokens)

    def _find(self, digest: bytes) -> Token | None:
        """All are compared, in constant time each: how long it takes says nothing of what is in the file."""
        found = None
        for token in self._tokens:
            if hmac.compare_digest(token.sha256, digest):
                found = token
        return found

    def _look(self, path: Path) -> None:
        now = time.monotonic()
        if now - self._looked < _LOOK_S:
            return
        self._looked = now
        stamp = _stamp(path)
        if stamp == self._stamp:
            return
        self._stamp = stamp  # of a bad file too: it is complained of once
        try:
            self.load()
        except TokenFileError as error:
            log.error("the tokens stay as they were: %s", error)
        else:
            log.info("read %d tokens", len(self._tokens))


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _warn_if_public(path: Path) -> None:
    if path.exists() and path.stat().st_mode & stat.S_IROTH:
        log.warning("tokens_path %s can be read by every user of this machine; chmod 600 it", path)
