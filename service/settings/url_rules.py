"""Rules for the hosts and addresses that URLs may lead to. Nothing is resolved here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

DEFAULT_PORTS = {"https": 443, "http": 80}

Network = IPv4Network | IPv6Network

# IANA's registries of special-purpose addresses (RFC 6890 and updates). Written out: the properties of `ipaddress`
# changed between Python releases.
_SPECIAL_V4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
    )
)  # fmt: skip
# the block of all public unicast addresses; mapped, NAT64, unique local, link-local and multicast ones are outside
_GLOBAL_V6 = IPv6Network("2000::/3")
# Teredo and other protocol assignments, documentation, 6to4
_SPECIAL_V6 = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether it is an ordinary unicast address of the internet, and not a form of a private one."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    return address in _GLOBAL_V6 and not any(address in network for network in _SPECIAL_V6)


def may_connect(address: str, private: Sequence[Network]) -> bool:
    """Whether connections to a resolved address are allowed: it is public, or in one of the `private` networks."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return is_public(parsed) or any(parsed in network for network in private)


def parse_network(text: str) -> Network:
    """Raises ValueError for a text that is not a network."""
    try:
        return ip_network(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a network such as 10.20.0.0/16 or 127.0.0.1/32") from None


@dataclass(frozen=True)
class HostRule:
    """An entry of `url_hosts`: `host` or `*.domain` for all hosts below it, with `:port` unless it is the default."""

    host: str
    port: int | None

    @classmethod
    def parse(cls, text: str) -> HostRule:
        """Raises ValueError for a text that is not a rule."""
        problem = f"{text!r} is not a host such as media.example.org, *.example.org or media.example.org:8443"
        try:
            parts = urlsplit(f"//{text}")
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise ValueError(problem) from None
        name = host.removeprefix("*.")
        if not name or "*" in name or "@" in text or parts.path or parts.query or parts.fragment or port == 0:
            raise ValueError(problem)
        return cls(host, port)

    def allows(self, scheme: str, host: str, port: int | None) -> bool:
        """Whether a URL is allowed. `host`: lower case, punycode, no brackets; `port`: None for the default."""
        allowed_port = DEFAULT_PORTS[scheme] if self.port is None else self.port
        if (DEFAULT_PORTS[scheme] if port is None else port) != allowed_port:
            return False
        return host.endswith(self.host[1:]) if self.host.startswith("*.") else host == self.host
