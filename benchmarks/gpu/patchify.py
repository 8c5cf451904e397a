"""The GPU rows of `benchmarks.resize_normalize_patchify`.

Frames have at most 602,112 pixels after the resize. Rows against a device copy, torch.compile and eager torch time the
kernel alone in a replayed CUDA graph (see `capture.py`); the peers are captured in the same way. Rows against the
Hugging Face processor time whole calls, including host work and synchronisation.

Gate: see `tune.check_correctness`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from statistics import median
from time import perf_counter
from typing import Any

import torch

from frame_ops.resize_normalize_patchify.naive import MEAN, STD
from frame_ops.resize_normalize_patchify.op import resize_normalize_patchify
from frame_ops.resize_normalize_patchify.smart_resize import smart_resize

from ..support.harness import Row, in_turn, row
from .capture import (
    MAX_PIXELS,
    MIN_PIXELS,
    Batch,
    capture_graph,
    input_sets,
    kernel_calls,
    name_of,
    peak_megabytes,
    replay_seconds,
)

BATCHES: tuple[Batch, ...] = (
    (1, 33, 240, 416),
    (16, 33, 240, 416),
    (1, 10, 480, 832),
    (16, 10, 480, 832),
    (1, 81, 720, 1280),
)
# goals in microseconds of some batches
GOALS_US = {(1, 33, 240, 416): 80.0, (1, 81, 720, 1280): 1000.0}
PEERS = ("device copy", "torch.compile", "torch eager", "Hugging Face, CUDA", "Hugging Face, CPU")


def rows(hugging_face: Callable, tune: bool) -> list[Row]:
    """All rows; without a GPU, rows that say so.

    Args:
        hugging_face: creates the video processor from its options.
        tune: first time all variants of the kernel and use the fastest.
    """
    if not torch.cuda.is_available():
        names = [f"gpu {name_of(batch)} bf16 vs {peer}" for batch in BATCHES for peer in PEERS]
        return [Row(name, "us", name.split(" vs ")[1], why="no CUDA device") for name in names]
    from .tune import check_correctness, sweep  # needs triton

    checks = check_correctness()
    result = sweep() if tune else []
    for batch in BATCHES:
        result += _rows(batch, hugging_face, checks)
    return result


def ours(clips: Sequence[torch.Tensor], size: tuple[int, int], dtype=torch.bfloat16) -> torch.Tensor:
    """The patches of clips that are all resized to `size` (height, width)."""
    return resize_normalize_patchify(clips, [size] * len(clips), dtype=dtype)


@cache
def mean_and_std(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation on the scale 0 to 255, [3, 1, 1] each."""
    scale = 1.0 / (1 / 255)
    return (torch.tensor(MEAN) * scale).view(3, 1, 1).to(device), (torch.tensor(STD) * scale).view(3, 1, 1).to(device)


def torch_path(clip: torch.Tensor, size: tuple[int, int], layout=torch.contiguous_format) -> torch.Tensor:
    """The peer: the same computation with torch operators, in float32 because CUDA cannot interpolate uint8."""
    mean, std = mean_and_std(clip.device)
    x = clip.permute(0, 3, 1, 2).contiguous(memory_format=layout).float()
    x = torch.nn.functional.interpolate(x, size, mode="bicubic", antialias=True).clamp(0, 255).round()
    x = ((x - mean) / std).to(torch.bfloat16)
    if len(x) % 2:
        x = torch.cat([x, x[-1:]])
    t, c, h, w = x.shape
    x = x.view(t // 2, 2, c, h // 28, 2, 14, w // 28, 2, 14).permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
    return x.reshape(-1, 1176)


def _rows(batch: Batch, hugging_face: Callable, checks: dict[str, float]) -> list[Row]:
    name = f"gpu {name_of(batch)} bf16 vs "
    size = smart_resize(*batch[2:], MIN_PIXELS, MAX_PIXELS)
    sets = input_sets(batch)
    clips = sets[0]
    moved_bytes = sum(clip.numel() for clip in clips) + ours(clips, size).nbytes
    memory = {"peak_mb": peak_megabytes(lambda: ours(clips, size))}
    our_graph = capture_graph(kernel_calls(sets, size))

    def kernel_row(peer: str, calls: Sequence[Callable], **more) -> Row:
        ours_s, peer_s = replay_seconds([our_graph, capture_graph(calls)], len(sets))
        more |= memory | {
            "peer_peak_mb": peak_megabytes(calls[0]),
            "gb_per_s": round(moved_bytes / median(ours_s) / 1e9),
        }
        return row(name + peer, "us", peer, ours_s, peer_s, scale=1e6, **more)

    def copy() -> Row:
        buffers = [torch.empty(moved_bytes // 2, dtype=torch.uint8, device="cuda") for _ in range(2 * len(sets))]
        return kernel_row(
            "device copy", [partial(a.copy_, b) for a, b in zip(buffers[::2], buffers[1::2], strict=True)]
        )

    def torch_row(peer: str, path: Callable, **more) -> Row:
        layout = _faster_layout(path, clips[0], size)
        return kernel_row(peer, [partial(_each, path, batch_clips, size, layout) for batch_clips in sets], **more)

    mean_and_std(clips[0].device)
    compiled = torch.compile(torch_path, dynamic=False)
    goals = {"goal": 1.0, "goal_us": GOALS_US.get(batch)} | checks
    makers: dict[str, Callable[[], Row]] = {
        "device copy": copy,
        "torch.compile": lambda: torch_row("torch.compile", compiled, **goals),
        "torch eager": lambda: torch_row("torch eager", torch_path),
        "Hugging Face, CUDA": lambda: _call_on_device(name, clips, size, hugging_face),
        "Hugging Face, CPU": lambda: _call_on_host(name, clips, size, hugging_face),
    }
    result = []
    for peer, make in makers.items():
        try:
            result.append(make())
        except Exception as error:  # the other peers are still measured
            result.append(Row(name + peer, "us", peer, why=f"{type(error).__name__}: {str(error)[:200]}"))
        torch.cuda.empty_cache()
    return result


def _each(call: Callable, clips: Sequence[torch.Tensor], size: tuple[int, int], layout) -> None:
    for clip in clips:
        call(clip, size, layout)


def _faster_layout(path: Callable, clip: torch.Tensor, size: tuple[int, int]) -> torch.memory_format:
    """The memory format in which the peer is faster."""
    layouts = (torch.contiguous_format, torch.channels_last)
    graphs = [capture_graph([partial(path, clip, size, layout)]) for layout in layouts]
    times = [median(seconds) for seconds in replay_seconds(graphs, 1, rounds=5)]
    return layouts[times.index(min(times))]


def _call_on_device(name: str, clips: list[torch.Tensor], size: tuple[int, int], hugging_face: Callable) -> Row:
    """Time of whole calls with frames on the GPU; the peer runs the processor on the GPU."""
    processor = hugging_face(size={"shortest_edge": MIN_PIXELS, "longest_edge": MAX_PIXELS})
    videos = [clip.permute(0, 3, 1, 2) for clip in clips]

    def our_call() -> None:
        ours(clips, size)
        torch.cuda.synchronize()

    def peer() -> torch.Tensor:
        patches = processor(videos=videos, device="cuda", return_tensors="pt")["pixel_values_videos"].to(torch.bfloat16)
        torch.cuda.synchronize()
        return patches

    host_s = []
    for _ in range(30):
        begin = perf_counter()
        ours(clips, size)
        host_s.append(perf_counter() - begin)
        torch.cuda.synchronize()
    more: dict[str, Any] = {"host_us": round(median(host_s) * 1e6, 1), "peer_peak_mb": peak_megabytes(peer)}
    more["values_that_differ"] = round((peer() != ours(clips, size)).float().mean().item(), 4)
    return row(
        name + "Hugging Face, CUDA", "us", "Hugging Face, CUDA", *in_turn(our_call, peer, rounds=10), scale=1e6, **more
    )


def _call_on_host(name: str, clips: list[torch.Tensor], size: tuple[int, int], hugging_face: Callable) -> Row:
    """Time of whole calls from frames on the host to patches on the GPU; the peer runs the processor on the host."""
    processor = hugging_face(size={"shortest_edge": MIN_PIXELS, "longest_edge": MAX_PIXELS})
    clips_on_host = [clip.cpu() for clip in clips]
    frames = [clip.numpy() for clip in clips_on_host]

    def our_call() -> None:
        ours([clip.to("cuda", non_blocking=True) for clip in clips_on_host], size)
        torch.cuda.synchronize()

    def peer() -> torch.Tensor:
        patches = processor(videos=frames, return_tensors="pt")["pixel_values_videos"].to("cuda", torch.bfloat16)
        torch.cuda.synchronize()
        return patches

    is_equal = torch.equal(peer(), ours(clips, size))
    times = in_turn(our_call, peer, rounds=2 if sum(clip.numel() for clip in clips) > 50e6 else 5)
    return row(name + "Hugging Face, CPU", "us", "Hugging Face, CPU", *times, scale=1e6, bit_equal=is_equal)
