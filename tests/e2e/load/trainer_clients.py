"""How existing trainers call a reward server, as plain callers of POST /v1/score.

Each keeps its trainer's published retry policy and handling of failures; the request and the reward's place in the
answer are this service's. A trainer that gives up raises or, OpenRLHF, answers None: never a number.
"""

import random
import time
from collections.abc import Callable

import httpx
import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry


class GaveUp(Exception):
    """A step that fails for the trainer."""


def reward_of(body: dict) -> float:
    return float(body["reward"])


def flow_grpo(url: str, body: dict) -> float:
    """requests over urllib3: 1000 tries, backoff 1, statuses [500], all methods, 120 s. urllib3 itself waits out a
    503 that has a Retry-After; one without is an answer, and fails where it is read."""
    session = requests.Session()
    session.trust_env = False
    retries = Retry(total=1000, backoff_factor=1, status_forcelist=[500], allowed_methods=False)
    session.mount("http://", HTTPAdapter(max_retries=retries))
    with session:
        response = session.post(url, json=body, timeout=120)
    try:
        return reward_of(response.json())
    except (ValueError, KeyError) as error:
        raise GaveUp(f"status {response.status_code}") from error


def verl(url: str, body: dict) -> float:
    """16 retries, doubling up to 30 s, no timeout, a new session each time; any 4xx, 429 too, is fatal."""
    for tries in range(17):
        try:
            response = httpx.post(url, json=body, timeout=None, trust_env=False)
        except httpx.TransportError:
            response = None
        if response is not None:
            if 400 <= response.status_code < 500:
                raise GaveUp(f"fatal status {response.status_code}")
            if response.status_code == 200:
                return reward_of(response.json())
        time.sleep(min(2.0**tries, 30.0))
    raise GaveUp("17 tries")


def openrlhf(url: str, body: dict) -> float | None:
    """5 tries, 1 s apart, on any error, 180 s; then the error is swallowed and the reward is None."""
    for _ in range(5):
        try:
            response = httpx.post(url, json=body, timeout=180, trust_env=False)
            response.raise_for_status()
            return reward_of(response.json())
        except (httpx.HTTPError, ValueError, KeyError):
            time.sleep(1)
    return None


def slime(url: str, body: dict) -> float:
    """10 tries, 2^n up to 30 s with jitter between them, 120 s; then it raises."""
    for tries in range(10):
        try:
            response = httpx.post(url, json=body, timeout=120, trust_env=False)
            response.raise_for_status()
            return reward_of(response.json())
        except (httpx.HTTPError, ValueError, KeyError):
            time.sleep(min(2.0**tries, 30.0) + random.random())
    raise GaveUp("10 tries")


def unirl(url: str, body: dict) -> float:
    """A fixed delay after any exception of the request, 300 s; then it raises. The number of tries and the delay are
    its user's: enough here for the trouble that the test makes."""
    for _ in range(60):
        try:
            response = httpx.post(url, json=body, timeout=300, trust_env=False)
            response.raise_for_status()
            return reward_of(response.json())
        except httpx.HTTPError:
            time.sleep(2)
    raise GaveUp("60 tries")


TRAINERS: dict[str, Callable[[str, dict], float | None]] = {
    "flow_grpo": flow_grpo, "verl": verl, "openrlhf": openrlhf, "slime": slime, "unirl": unirl,
}  # fmt: skip
