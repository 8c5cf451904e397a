"""Throughput, goodput and overload behaviour of a service process: `python -m benchmarks.load [--seconds 15]`.

This process sends groups of 8 raw clips, encoded before the measurement, to a service on loopback. Result, prefix and
feature caches are off, except in the row of `/v1/compare`.

- Throughput: a closed loop. The peer is the runner in this process on the same groups.
- Goodput: Poisson arrivals at shares of the measured capacity; 300 % is three times the capacity. It counts the videos
  of groups answered within the target, which is five times the time of one group in process. Requests carry the target
  as X-Request-Timeout. The peer of a level is its offered load; the last level is also compared with the best.
- Rollouts beside bulk: the share of requests answered in time, by priority class, at 150 % of the capacity.
- `/v1/compare` by hashes: CPU time of a request that is answered from the result cache, against 1.5 ms.

Gates: served rewards equal those of the runner in process; every response is a reward or a typed refusal.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np

from identity_reward_client.wire import raw_body
from reward_model.qwen.runner.config import RunnerConfig
from reward_model.registry import load_scorer

from .support import harness
from .support.load_client import Encoded, Outcome, closed_loop, encode, poisson
from .support.load_workload import (
    NO_CACHES,
    encode_group,
    face_groups,
    groups,
    in_process,
    put_references,
    write_model,
)
from .support.service_process import ServiceProcess, service

GROUPS, ROUNDS = 6, 5
SHARES = (0.5, 0.8, 0.95, 1.5, 3.0)
COMPARISONS = 3000
COMPARE_GOAL_MS = 1.5


def score_group(served: ServiceProcess, request: Encoded) -> list[dict[str, Any]]:
    """The items of the response to one group."""
    headers = {"Content-Type": raw_body.CONTENT_TYPE}
    response = httpx.post(f"{served.url}/v1/groups:raw", content=request.body, headers=headers, timeout=120)
    return response.json()["items"]


def throughput(served: ServiceProcess, requests: list[Encoded], scorer, workload, name: str, **options) -> harness.Row:
    """Time for all groups, two in flight: the service reads and prepares the next group while it scores one."""

    def ours() -> None:
        outcomes = asyncio.run(closed_loop(served.port, requests, 2))
        harness.gate(all(outcome.status == 200 for outcome in outcomes), f"not every group was answered: {outcomes}")

    def peer() -> None:
        for group in workload:
            in_process(scorer, group)

    times = harness.in_turn(ours, peer, ROUNDS)
    rate = {"videos_per_s": round(sum(request.items for request in requests) / median(times[0]), 2)}
    return harness.row(name, "s", "the runner in process", *times, **options, **rate)


def level_statistics(outcomes: Sequence[Outcome], seconds: float, target_s: float) -> dict[str, Any]:
    """Rates and counts of one load level; latencies are those of answered requests, in seconds."""
    answered = [outcome for outcome in outcomes if outcome.status == 200]
    refused = [outcome for outcome in outcomes if outcome.status == 503 and (outcome.retry_after or "").isdigit()]
    timed_out = [outcome for outcome in outcomes if outcome.status in (0, 504)]
    untyped = len(outcomes) - len(answered) - len(refused) - len(timed_out)
    harness.gate(untyped == 0, f"{untyped} responses are neither rewards nor typed refusals")
    good = sum(outcome.items for outcome in answered if outcome.seconds <= target_s)
    latencies_s = [outcome.seconds for outcome in answered]
    p50, p90, p99 = (round(float(np.percentile(latencies_s, p)), 3) for p in (50, 90, 99))
    return {
        "offered_videos_per_s": round(sum(outcome.items for outcome in outcomes) / seconds, 2),
        "goodput_videos_per_s": round(good / seconds, 2),
        "answered": len(answered), "refused_with_retry_after": len(refused), "timed_out": len(timed_out),
        "p50_s": p50, "p90_s": p90, "p99_s": p99,
    }  # fmt: skip


def load_levels(
    served: ServiceProcess, requests: list[Encoded], capacity: float, target_s: float, seconds: float
) -> list[harness.Row]:
    """A row that compares the last level with the best, then one row per share of the capacity (requests a second)."""
    rows, levels = [], []
    for number, share in enumerate(SHARES):
        rss_before, files_before = served.rss_bytes(), served.open_files()
        outcomes = asyncio.run(poisson(served.port, requests, share * capacity, seconds, number))
        # a level lasts until its last response
        duration_s = max(seconds, max(outcome.started + outcome.seconds for outcome in outcomes) - outcomes[0].started)
        level = level_statistics(outcomes, duration_s, target_s)
        level["rss_growth_bytes"] = served.rss_bytes() - rss_before
        level["open_files_growth"] = served.open_files() - files_before
        levels.append(level)
        rows.append(
            harness.Row(
                f"offered {share:.0%}".replace("%", " %"), "videos/s", "offered", level["goodput_videos_per_s"],
                level["offered_videos_per_s"],
                round(level["goodput_videos_per_s"] / level["offered_videos_per_s"], 3), more=level,
            )
        )  # fmt: skip
        print(rows[-1].name, level, flush=True)
    best = max(level["goodput_videos_per_s"] for level in levels)
    last = levels[-1]["goodput_videos_per_s"]
    more = {"p99_target_s": round(target_s, 3), "timed_out": levels[-1]["timed_out"]}
    ratio = round(last / best, 3)
    overload = harness.Row("goodput at 300 % vs peak", "videos/s", "its peak", last, best, ratio, goal=0.85, more=more)
    return [overload, *rows]


def mixed_priorities(
    served: ServiceProcess, requests: list[Encoded], capacity: float, target_s: float, seconds: float
) -> harness.Row:
    """Rollouts and bulk requests alternate at 150 % of the capacity; the rollouts alone stay below it."""
    bulk = [
        replace(request, head=request.head.replace(b"X-Priority: rollout", b"X-Priority: bulk"), kind="bulk")
        for request in requests
    ]
    alternating = [request for pair in zip(requests, bulk, strict=True) for request in pair]
    outcomes = asyncio.run(poisson(served.port, alternating, 1.5 * capacity, seconds, 99))
    share = {}
    for kind in ("rollout", "bulk"):
        in_time = [
            outcome.status == 200 and outcome.seconds <= target_s for outcome in outcomes if outcome.kind == kind
        ]
        share[kind] = sum(in_time) / len(in_time)
    ratio = round(share["rollout"] / max(share["bulk"], 1e-3), 3)
    return harness.Row(
        "rollouts among as much bulk, 150 %", "share in time", "bulk", round(share["rollout"], 3),
        round(share["bulk"], 3), ratio,
    )  # fmt: skip


def cached_comparison(model: Path) -> harness.Row:
    """CPU time of the service per comparison of two scored videos by their hashes."""
    with service("--model", str(model)) as served:
        (group,) = groups(1, seed=7)
        set_id = put_references(served.url, group)
        items = score_group(served, encode_group(set_id, group))
        a, b = ({"id": items[n]["scored"]["video_id"]} for n in (0, 1))
        body = json.dumps({"references": set_id, "video_a": a, "video_b": b}).encode()
        comparison = encode("/v1/compare", "application/json", body, 2, "interactive")
        asyncio.run(closed_loop(served.port, [comparison] * 200, 4))
        each_ms = []
        for _ in range(ROUNDS):
            cpu_before_s = served.cpu_s()
            outcomes = asyncio.run(closed_loop(served.port, [comparison] * COMPARISONS, 4))
            harness.gate(all(outcome.status == 200 for outcome in outcomes), "a pair was not answered from the cache")
            each_ms.append(1000 * (served.cpu_s() - cpu_before_s) / COMPARISONS)
    goal, ms = COMPARE_GOAL_MS, round(median(each_ms), 3)
    spread = round(goal / max(each_ms), 3), round(goal / min(each_ms), 3)
    ratio = round(goal / ms, 3)
    return harness.Row("POST /v1/compare by hashes", "ms of CPU", "1.5 ms", ms, goal, ratio, goal=1.0, spread=spread)


def measure(arguments: argparse.Namespace) -> list[harness.Row]:
    workload = groups(GROUPS)
    with tempfile.TemporaryDirectory() as name:
        model = write_model(Path(name) / "tiny-w1")
        scorer = load_scorer(
            str(model), runner=RunnerConfig(prefix_cache_bytes=0, feature_cache_bytes=0, prefix_host_cache_bytes=0)
        )
        begin = time.monotonic()
        expected = [in_process(scorer, group) for group in workload]
        target_s = 5 * (time.monotonic() - begin) / len(workload)
        with service("--model", str(model), **NO_CACHES) as served:
            ids = [put_references(served.url, group) for group in workload]
            requests = [encode_group(set_id, group) for set_id, group in zip(ids, workload, strict=True)]
            for request, rewards in zip(requests, expected, strict=True):
                served_rewards = [item["scored"]["reward"] for item in score_group(served, request)]
                harness.gate(served_rewards == rewards, "served rewards differ from those of the runner in process")
            closed = throughput(served, requests, scorer, workload, "throughput vs in-process", goal=0.9)
            assert closed.ours is not None
            capacity = GROUPS / closed.ours
            with_timeout = [
                encode_group(set_id, group, X_Request_Timeout=f"{target_s:.3f}")
                for set_id, group in zip(ids, workload, strict=True)
            ]
            levels = load_levels(served, with_timeout, capacity, target_s, arguments.seconds)
            priorities = mixed_priorities(served, with_timeout, capacity, target_s, arguments.seconds)
        faces = face_groups()
        with service("--model", "arcface", **NO_CACHES) as served:
            requests = [encode_group(put_references(served.url, group), group) for group in faces]
            arcface = throughput(served, requests, load_scorer("arcface"), faces, "throughput vs in-process, arcface")
        return [closed, *levels, priorities, arcface, cached_comparison(model)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=15.0, help="length of each offered load")
    harness.main("load", measure, parser)
