"""A service process under load: `python -m benchmarks.load [--json OUT] [--seconds 15]`.

Closed loops and Poisson arrivals from this process to a service on loopback, groups of 8 raw clips with bodies encoded
beforehand; result, prefix and feature caches are off. `throughput` compares with the runner in this process on the same
groups, in turn. Goodput counts groups answered within the target, five times what one takes in process; requests carry
the target as their X-Request-Timeout. A share of 300 % is three times the measured capacity.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np

from reward_model.qwen.runner.config import RunnerConfig
from reward_model.registry import load_scorer

from .support import harness
from .support.load_client import Encoded, Outcome, closed_loop, encode, poisson
from .support.load_workload import COLD, faces, groups, in_process, put_references, request, write_model
from .support.service_process import ServiceProcess, service

GROUPS, ROUNDS = 6, 5
SHARES = (0.5, 0.8, 0.95, 1.5, 3.0)
COMPARES = 3000


def throughput(served: ServiceProcess, requests: list[Encoded], scorer, work, name: str, **options) -> harness.Row:
    """Two at a time: the next group's body is read and prepared while this one is scored."""

    def ours() -> None:
        outcomes = asyncio.run(closed_loop(served.port, requests, 2))
        harness.gate(all(one.status == 200 for one in outcomes), f"not every group was answered: {outcomes}")

    def peer() -> None:
        for group in work:
            in_process(scorer, group)

    times = harness.in_turn(ours, peer, ROUNDS)
    rate = {"videos_per_s": round(sum(one.items for one in requests) / median(times[0]), 2)}
    return harness.row(name, "s", "the runner in process", *times, **options, **rate)


def offered(outcomes: Sequence[Outcome], seconds: float, target_s: float) -> dict[str, Any]:
    """What became of the requests of one level; latencies in seconds, of those that were answered."""
    answered = [one for one in outcomes if one.status == 200]
    refused = [one for one in outcomes if one.status == 503 and (one.retry_after or "").isdigit()]
    late = [one for one in outcomes if one.status in (0, 504)]
    accounted = len(answered) + len(refused) + len(late)
    harness.gate(
        accounted == len(outcomes), f"{len(outcomes) - accounted} answers are neither rewards nor typed refusals"
    )
    good = sum(one.items for one in answered if one.seconds <= target_s)
    p50, p90, p99 = (round(float(np.percentile([one.seconds for one in answered], p)), 3) for p in (50, 90, 99))
    return {
        "offered_videos_per_s": round(sum(one.items for one in outcomes) / seconds, 2),
        "goodput_videos_per_s": round(good / seconds, 2),
        "answered": len(answered), "refused_with_retry_after": len(refused), "timed_out": len(late),
        "p50_s": p50, "p90_s": p90, "p99_s": p99,
    }  # fmt: skip


def levels(served: ServiceProcess, requests: list[Encoded], capacity: float, target_s: float, seconds: float):
    """A row for each share of the capacity, and the one that compares the last with the best."""
    rows, levels_measured = [], []
    for number, share in enumerate(SHARES):
        before = served.rss_bytes(), served.open_files()
        outcomes = asyncio.run(poisson(served.port, requests, share * capacity, seconds, number))
        # what is still being answered when the last request has come belongs to this level
        taken = max(seconds, max(one.started + one.seconds for one in outcomes) - outcomes[0].started)
        level = offered(outcomes, taken, target_s)
        level["rss_growth_bytes"] = served.rss_bytes() - before[0]
        level["open_files_growth"] = served.open_files() - before[1]
        levels_measured.append(level)
        rows.append(
            harness.Row(
                f"offered {share:.0%}".replace("%", " %"), "videos/s", "offered", level["goodput_videos_per_s"],
                level["offered_videos_per_s"],
                round(level["goodput_videos_per_s"] / level["offered_videos_per_s"], 3), more=level,
            )
        )  # fmt: skip
        print(rows[-1].name, level, flush=True)
    best = max(level["goodput_videos_per_s"] for level in levels_measured)
    last = levels_measured[-1]["goodput_videos_per_s"]
    more = {"p99_target_s": round(target_s, 3), "timed_out": levels_measured[-1]["timed_out"]}
    ratio = round(last / best, 3)
    gated = harness.Row("goodput at 300 % vs peak", "videos/s", "its peak", last, best, ratio, goal=0.85, more=more)
    return [gated, *rows]


def mixed(served: ServiceProcess, requests: list[Encoded], capacity: float, target_s: float, seconds: float):
    """Half rollouts, half bulk, together 150 %: the urgent half is below the capacity."""
    bulk = [
        Encoded(one.head.replace(b"X-Priority: rollout", b"X-Priority: bulk"), one.body, one.items, "bulk")
        for one in requests
    ]
    alternating = [one for pair in zip(requests, bulk, strict=True) for one in pair]
    outcomes = asyncio.run(poisson(served.port, alternating, 1.5 * capacity, seconds, 99))
    share = {}
    for kind in ("rollout", "bulk"):
        mine = [one for one in outcomes if one.kind == kind]
        share[kind] = sum(one.status == 200 and one.seconds <= target_s for one in mine) / len(mine)
    ratio = round(share["rollout"] / max(share["bulk"], 1e-3), 3)
    return harness.Row(
        "rollouts among as much bulk, 150 %", "share in time", "bulk", round(share["rollout"], 3),
        round(share["bulk"], 3), ratio,
    )  # fmt: skip


def compares(model: Path) -> harness.Row:
    """Pairs by their hashes, answered from the result cache: processor time of the service for each."""
    with service("--model", str(model)) as served:
        (group,) = groups(1, seed=7)
        set_id = put_references(served.url, group)
        first = request(set_id, group)
        head = {"Content-Type": "application/vnd.safetensors"}
        answer = httpx.post(f"{served.url}/v1/groups:raw", content=first.body, headers=head, timeout=120).json()
        a, b = ({"id": answer["items"][n]["scored"]["video_id"]} for n in (0, 1))
        body = json.dumps({"references": set_id, "video_a": a, "video_b": b}).encode()
        one = encode("/v1/compare", "application/json", body, 2, "interactive")
        asyncio.run(closed_loop(served.port, [one] * 200, 4))
        each_ms = []
        for _ in range(ROUNDS):
            before = served.cpu_s()
            outcomes = asyncio.run(closed_loop(served.port, [one] * COMPARES, 4))
            harness.gate(all(one.status == 200 for one in outcomes), "a pair was not answered from the cache")
            each_ms.append(1000 * (served.cpu_s() - before) / COMPARES)
    ms = round(median(each_ms), 3)
    spread = round(1.5 / max(each_ms), 3), round(1.5 / min(each_ms), 3)
    return harness.Row(
        "POST /v1/compare by hashes", "ms of CPU", "1.5 ms", ms, 1.5, round(1.5 / ms, 3), goal=1.0, spread=spread
    )


def measure(given: argparse.Namespace) -> list[harness.Row]:
    work = groups(GROUPS)
    with tempfile.TemporaryDirectory() as name:
        model = write_model(Path(name) / "tiny-w1")
        scorer = load_scorer(
            str(model), runner=RunnerConfig(prefix_cache_bytes=0, feature_cache_bytes=0, prefix_host_cache_bytes=0)
        )
        begin = time.monotonic()
        expected = [in_process(scorer, group) for group in work]
        target_s = 5 * (time.monotonic() - begin) / len(work)
        with service("--model", str(model), **COLD) as served:
            ids = [put_references(served.url, group) for group in work]
            requests = [request(set_id, group) for set_id, group in zip(ids, work, strict=True)]
            for one, rewards in zip(requests, expected, strict=True):
                head = {"Content-Type": "application/vnd.safetensors"}
                answer = httpx.post(f"{served.url}/v1/groups:raw", content=one.body, headers=head, timeout=120).json()
                got = [item["scored"]["reward"] for item in answer["items"]]
                harness.gate(got == rewards, "served rewards are not those of the runner in process")
            first = throughput(served, requests, scorer, work, "throughput vs in-process", goal=0.9)
            assert first.ours is not None
            capacity = GROUPS / first.ours
            limited = [
                request(set_id, group, X_Request_Timeout=f"{target_s:.3f}")
                for set_id, group in zip(ids, work, strict=True)
            ]
            rows = levels(served, limited, capacity, target_s, given.seconds)
            both = mixed(served, limited, capacity, target_s, given.seconds)
        people = faces()
        with service("--model", "arcface", **COLD) as served:
            requests = [request(put_references(served.url, group), group) for group in people]
            default = throughput(served, requests, load_scorer("arcface"), people, "throughput vs in-process, arcface")
        return [first, *rows, both, default, compares(model)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=15.0, help="of each offered load")
    harness.main("load", measure, parser)
