"""Listening beyond loopback without tokens lets the whole network in, so it has to be asked for."""

from __future__ import annotations

from ipaddress import ip_address

import psutil

from ..settings.groups import PREFIX
from ..settings.settings import Settings, SettingsError


def check_address(settings: Settings, address: str) -> None:
    """SettingsError where a server at this numeric address would be open to others."""
    if settings.auth.tokens_path is not None or settings.auth.allow_anonymous or ip_address(address).is_loopback:
        return
    raise SettingsError(
        f"{address} can be reached from other machines, and there are no tokens: make one by `identity-reward token "
        f"create NAME --file PATH` and set {PREFIX}TOKENS_PATH to that file, or let everybody in by --allow-anonymous "
        f"({PREFIX}ALLOW_ANONYMOUS=1)"
    )


def check_sockets(settings: Settings) -> None:
    """The same for the sockets that this process was started with, whatever started it."""
    for connection in psutil.Process().net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN:
            check_address(settings, connection.laddr.ip)
