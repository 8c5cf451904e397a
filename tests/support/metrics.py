"""Metrics of a running server."""

import re

import httpx


def metric(url: str, name: str) -> float:
    """The value of `identity_reward_NAME`, summed over its labels."""
    text = httpx.get(f"{url}/metrics", timeout=60).text
    return sum(map(float, re.findall(rf"^identity_reward_{name}(?:{{.*}})? (\S+)$", text, re.MULTILINE)))


def is_idle(url: str) -> bool:
    """Whether the server holds nothing for any caller."""
    return metric(url, "waiting_tokens") == 0 and metric(url, "body_bytes") == 0
