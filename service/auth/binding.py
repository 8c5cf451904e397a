"""Refusal of addresses beyond loopback without tokens, unless the operator allows it."""

from __future__ import annotations

from ipaddress import ip_address

import psutil

from ..settings.groups import PREFIX
from ..settings.settings import Settings, SettingsError


def check_address(settings: Settings, address: str) -> None:
    """Raise SettingsError if a server at this numeric address would be open to other machines without tokens."""
    if settings.auth.tokens_path is not None or settings.auth.allow_anonymous or ip_address(address).is_loopback:
        return
    raise SettingsError(
        f"{address} can be reached from other machines, and there are no tokens: make one by `identity-reward token "
        f"create NAME --file PATH` and set {PREFIX}TOKENS_PATH to that file, or allow everybody by --allow-anonymous "
        f"({PREFIX}ALLOW_ANONYMOUS=1)"
    )


def check_sockets(settings: Settings) -> None:
    """Check the sockets that this process listens on, whatever opened them."""
    for connection in psutil.Process().net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN:
            check_address(settings, connection.laddr.ip)
