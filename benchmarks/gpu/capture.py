"""Input sets, captured CUDA graphs and their timing, shared by the benchmarks of `resize_normalize_patchify`.

A graph calls the op on several input sets that together exceed the second-level cache, so that neither launch gaps nor
cached inputs affect the times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch

from frame_ops.resize_normalize_patchify.smart_resize import smart_resize

MIN_PIXELS, MAX_PIXELS = 3136, 602_112
ROUNDS = 20
# clips in the batch, frames, height, width
Batch = tuple[int, int, int, int]


def name_of(batch: Batch) -> str:
    """The name of a batch in reports, e.g. "16 of 33x240x416"."""
    clips, *shape = batch
    return ("" if clips == 1 else f"{clips} of ") + "x".join(map(str, shape))


def random_clips(batch: Batch, seed: int = 0) -> list[torch.Tensor]:
    """Random uint8 clips [frames, height, width, 3] on the GPU."""
    clips, *shape = batch
    generator = torch.Generator("cuda").manual_seed(seed)
    return [
        torch.randint(0, 256, (*shape, 3), dtype=torch.uint8, device="cuda", generator=generator) for _ in range(clips)
    ]


def input_sets(batch: Batch) -> list[list[torch.Tensor]]:
    """Sets of clips whose frames and patches together are several times the size of the second-level cache."""
    size = smart_resize(*batch[2:], MIN_PIXELS, MAX_PIXELS)
    megabytes = batch[0] * batch[1] * 3 * (batch[2] * batch[3] + 2 * size[0] * size[1]) / 1e6
    return [random_clips(batch, seed) for seed in range(max(1, min(12, int(400 / megabytes))))]


def capture_graph(calls: Sequence[Callable]) -> torch.cuda.CUDAGraph:
    """A CUDA graph of all calls in sequence, captured after two warm-up calls."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for call in calls[:2]:
            call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for call in calls:
            call()
    return graph


def replay_seconds(graphs: Sequence[torch.cuda.CUDAGraph], calls: int, rounds: int = ROUNDS) -> list[list[float]]:
    """Replay the graphs alternately and time them.

    Args:
        graphs: captured graphs.
        calls: number of calls in each graph.
        rounds: number of timed replays of each graph, after two that are not timed.

    Returns:
        For each graph the seconds per call, one value per round.
    """
    seconds: list[list[float]] = [[] for _ in graphs]
    for number in range(rounds + 2):
        for graph, times in zip(graphs, seconds, strict=True):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            graph.replay()
            end.record()
            end.synchronize()
            if number > 1:
                times.append(begin.elapsed_time(end) / 1e3 / calls)
    return seconds


def kernel_calls(
    sets: list[list[torch.Tensor]], size, variant=None, semantics="u8", dtype=torch.bfloat16
) -> list[partial[None]]:
    """For each input set a call that launches the kernel only; its plan is already on the GPU."""
    # needs triton
    from frame_ops.plan import Shape, plan_batch
    from frame_ops.resize_normalize_patchify import launch

    variant = variant or launch.variant_for(semantics)
    shapes = tuple(Shape(clip.shape[0], clip.shape[1], clip.shape[2], *size) for clip in sets[0])
    plan = plan_batch(shapes, semantics, variant.tile)
    stream = torch.cuda.current_stream().cuda_stream
    calls: list[partial[None]] = []
    for clips in sets:
        header = launch.device_plans(clips[0].device, stream).header(plan, clips)
        patches = torch.full((plan.rows, 1176), float("nan"), dtype=dtype, device="cuda")
        calls.append(partial(launch.run, header, plan, patches, variant))
    return calls


def peak_megabytes(call: Callable) -> float:
    """Peak memory of one call beyond what is allocated before it."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return round((torch.cuda.max_memory_allocated() - before) / 1e6, 1)
