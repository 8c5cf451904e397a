"""Authentication and authorization by bearer tokens, for every transport."""

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

# how often the file is checked for changes
_CHECK_INTERVAL_S = 1.0
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/=-]{1,512})", re.IGNORECASE)


class Authenticator:
    """Checks tokens against the file at `path`; without a path every call is allowed.

    The file is read again when it changes. If that fails, the earlier tokens stay valid and one line is logged.
    """

    def __init__(self, path: Path | None):
        self._path = path
        self._tokens: list[Token] = []
        self._version: tuple[int, ...] | None = None
        self._checked_at = -math.inf

    def load(self) -> None:
        """Read the file; raises TokenFileError. Without this call, the first check reads it and refuses if it fails."""
        if self._path is not None:
            version = _file_version(self._path)
            self._tokens = tokens.read(self._path)
            self._version, self._checked_at = version, time.monotonic()
            _warn_if_public(self._path)

    def check(self, authorization: str | None, scope: Scope) -> str | None:
        """The name of the token in an `Authorization` header; None if no tokens are required.

        Raises Unauthenticated without a token of the file, PermissionDenied if its scope is not enough.
        """
        if self._path is None:
            return None
        self._reload_if_changed(self._path)
        if authorization is None:
            raise Unauthenticated(
                "this server requires a token: Authorization: Bearer TOKEN, or --token of the command line"
            )
        bearer = _BEARER.fullmatch(authorization.strip())
        token = self._find(tokens.digest(bearer[1])) if bearer else None
        if token is None:
            raise Unauthenticated("the token is not valid; it is sent as Authorization: Bearer TOKEN")
        if scope == "admin" and token.scope != "admin":
            raise PermissionDenied(f"this requires a token of scope admin; {token.name!r} has scope {token.scope}")
        return token.name

    def is_admin(self, name: str | None) -> bool:
        """Whether the token of that name has scope `admin`."""
        return any(token.name == name and token.scope == "admin" for token in self._tokens)

    def _find(self, digest: bytes) -> Token | None:
        """The token with this digest. Compares all in constant time: the duration reveals nothing about the file."""
        match = None
        for token in self._tokens:
            if hmac.compare_digest(token.sha256, digest):
                match = token
        return match

    def _reload_if_changed(self, path: Path) -> None:
        now = time.monotonic()
        if now - self._checked_at < _CHECK_INTERVAL_S:
            return
        self._checked_at = now
        version = _file_version(path)
        if version == self._version:
            return
        self._version = version  # of an unreadable file too: it is logged once
        try:
            self.load()
        except TokenFileError as error:
            log.error("the tokens stay as they were: %s", error)
        else:
            log.info("read %d tokens", len(self._tokens))


def _file_version(path: Path) -> tuple[int, ...] | None:
    """Changes whenever the file does; None for a missing file."""
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _warn_if_public(path: Path) -> None:
    if path.exists() and path.stat().st_mode & stat.S_IROTH:
        log.warning("tokens_path %s can be read by every user of this machine; chmod 600 it", path)
