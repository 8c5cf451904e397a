"""Time and memory of the runner on a GPU: the 3B shape of the released model in bfloat16, random weights.

    PYTHONPATH=kernels:clients python -m benchmarks.gpu --json OUT

It needs torch, transformers and triton; the project need not be installed. The peer is transformers with a padded batch
and `sdpa` attention, unless stated otherwise:

- G1: a GRPO update of 16 groups of 8 videos. G3: evaluation clips without shared references. G7: one request.
- G5: share of the matrix rate, which is that of a bfloat16 product of 8192 x 8192 matrices.
- G9: the MLP of a vision block padded from width 3420 to 3456, against the unpadded one.
- G10: the deterministic mode against the fast mode.
- G12: peak memory of 32 videos.

Gate: hidden states at the reward tokens differ from those of transformers by at most 0.2 plus 5 % of their mean
magnitude (at least 1).
"""

from __future__ import annotations

import argparse
from functools import partial
from statistics import median
from time import perf_counter

import torch

from reward_model.qwen.runner.config import RunnerConfig
from reward_model.qwen.runner.rows import silu_times
from reward_model.qwen.runner.runner import Runner

from ..support import harness
from ..support.peers import padded_batch
from ..support.workloads import W1_VIDEO, W2_VIDEO, SequenceFactory, flops, full_body

SDPA = "transformers sdpa, padded"
ROWS = {
    "G1 128-video update": 3.0,
    "G3 evaluator clips, no sharing": 1.15,
    "G5 share of the matrix rate": 0.55,
    "G7 one request": 2.0,
    "G9 vision MLP 3456 wide": 1.1,
    "G10 invariant mode": 1 / 1.10,
    "G12 peak memory of 32": 1 / 0.6,
}


def clock() -> float:
    """Seconds after all work of the GPU is finished."""
    torch.cuda.synchronize()
    return perf_counter()


def median_seconds(call, rounds: int = 5) -> float:
    """Median time of a call, after one that is not timed."""
    call()
    times = []
    for _ in range(rounds):
        begin = clock()
        call()
        times.append(clock() - begin)
    return median(times)


def matrix_rate() -> float:
    """Operations per second of a bfloat16 product of two random 8192 x 8192 matrices."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    return 2 * 8192**3 / median_seconds(lambda: a @ b, 20)


def peer_in_batches(model, sequences, size: int = 8):
    """The peer in padded batches of `size` sequences."""
    return torch.cat([padded_batch(model, sequences[i : i + size]) for i in range(0, len(sequences), size)])


def cold(runner, sequences):
    """The runner with empty caches."""
    runner.clear_caches()
    return runner(sequences)


def differences(model, factory) -> dict[str, float]:
    """Largest differences of the hidden state after the final norm; `of` is its mean magnitude."""
    group = factory.group(4, W1_VIDEO, "gate")
    norm = model.language_model.norm
    fast, deterministic = Runner(model), Runner(model, RunnerConfig(deterministic=True))
    packed = norm(torch.cat(fast(group)))
    alone = norm(torch.cat([cold(fast, [s])[0] for s in group]))
    deterministic_packed = torch.cat(cold(deterministic, group))
    deterministic_alone = torch.cat([cold(deterministic, [s])[0] for s in group])
    deterministic_warm = torch.cat(deterministic(group))
    peer = padded_batch(model, group)
    peer_alone = torch.cat([padded_batch(model, [s]) for s in group])

    def largest(a, b):
        return (a.float() - b.float()).abs().max().item()

    return {
        "ours vs transformers": largest(packed, peer),
        "ours, alone vs packed": largest(alone, packed),
        "transformers, alone vs batch": largest(peer_alone, peer),
        "invariant mode, alone vs packed": largest(deterministic_alone, deterministic_packed),
        "invariant mode, warm vs cold": largest(deterministic_warm, deterministic_packed),
        "of": packed.float().abs().mean().item(),
    }


def mlp_of_width(width: int):
    """A call of the MLP of one vision block on the patches of four evaluation clips."""
    hidden = torch.randn(39440, 1280, device="cuda", dtype=torch.bfloat16)
    joint, down = (torch.randn(*s, device="cuda", dtype=torch.bfloat16) for s in ((2 * width, 1280), (1280, width)))
    return lambda: silu_times(*(hidden @ joint.T).split(width, -1)) @ down.T


def peak_gib(call) -> float:
    """Peak allocated memory during one call, weights and caches included, in GiB."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() / 2**30


def measure(arguments) -> list[harness.Row]:
    if not torch.cuda.is_available():
        return [harness.Row(name, "s", SDPA, goal=goal, why="no CUDA device") for name, goal in ROWS.items()]
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    model, factory = full_body("cuda", torch.bfloat16), SequenceFactory("cuda", torch.bfloat16)
    largest = differences(model, factory)
    print("largest differences:", {k: float(f"{v:.3g}") for k, v in largest.items()}, flush=True)
    harness.gate(largest["ours vs transformers"] < 0.05 * max(1.0, largest["of"]) + 0.2, f"outputs differ: {largest}")
    rate = matrix_rate()
    print(f"matrix rate: {rate / 1e12:.0f} TFLOP/s", flush=True)
    runner = Runner(model, RunnerConfig(token_budget=arguments.token_budget))
    in_turn = partial(harness.in_turn, rounds=arguments.rounds, clock=clock)
    row, rows = harness.row, []

    update = [s for g in range(16) for s in factory.group(8, W1_VIDEO, f"g{g}")]
    times = in_turn(partial(cold, runner, update), partial(peer_in_batches, model, update))
    tflops = flops(model, update, share=True) / median(times[0]) / 1e12
    rows.append(row("G1 128-video update", "s", SDPA, *times, goal=3.0, tflops_per_s=tflops, differences=largest))
    update = None

    clips = [factory.group(1, W2_VIDEO, f"c{n}")[0] for n in range(8)]
    times = in_turn(lambda: cold(runner, clips), lambda: peer_in_batches(model, clips))
    ours_s = median(times[0])
    rows.append(row("G3 evaluator clips, no sharing", "s", SDPA, *times, goal=1.15, items_per_s=len(clips) / ours_s))
    share = flops(model, clips, share=False) / ours_s / rate
    rates = {"tflops_per_s": share * rate / 1e12, "rate_tflops_per_s": rate / 1e12}
    rows.append(harness.Row("G5 share of the matrix rate", "", "8192^3 product", share, 1.0, share, 0.55, more=rates))

    request = factory.group(1, W1_VIDEO, "one")
    times = in_turn(lambda: cold(runner, request), lambda: padded_batch(model, request))
    rows.append(row("G7 one request", "ms", SDPA, *times, scale=1e3, goal=2.0))

    mlps = {width: mlp_of_width(width) for width in (3420, 3424, 3456, 3584)}
    other_widths = {f"{width}_ms": median_seconds(mlps[width]) * 1e3 for width in (3424, 3584)}
    times = in_turn(mlps[3456], mlps[3420])
    rows.append(row("G9 vision MLP 3456 wide", "ms", "3420 wide", *times, scale=1e3, goal=1.1, **other_widths))

    deterministic = Runner(model, RunnerConfig(token_budget=arguments.token_budget, deterministic=True))
    group = [s for g in range(4) for s in factory.group(8, W1_VIDEO, f"x{g}")]
    times = in_turn(partial(cold, deterministic, group), partial(cold, runner, group))
    rows.append(row("G10 invariant mode", "s", "ours, fast mode", *times, goal=1 / 1.10))
    deterministic = None

    ours_gib, peer_gib = peak_gib(lambda: cold(runner, group)), peak_gib(lambda: padded_batch(model, group))
    rows.append(harness.Row("G12 peak memory of 32", "GiB", SDPA, ours_gib, peer_gib, peer_gib / ours_gib, 1 / 0.6))
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--token-budget", type=int, default=32768)
    harness.main("gpu", measure, parser)


if __name__ == "__main__":
    main()
