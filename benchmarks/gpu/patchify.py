"""The GPU rows of `resize_normalize_patchify`, and the sweep over the kernel's variants that its defaults came from.

Sizes are those of at most 602,112 pixels a frame. Kernel rows replay a CUDA graph that works through several sets of
inputs, more than the cache holds, so neither launch gaps nor the cache flatter anyone; peers are captured the same way.
Call rows take the whole call, host work and synchronisation included.
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

MIN_PIXELS, MAX_PIXELS = 3136, 602_112
# clips in the batch, frames, height, width
BATCHES = ((1, 33, 240, 416), (16, 33, 240, 416), (1, 10, 480, 832), (16, 10, 480, 832), (1, 81, 720, 1280))
# microseconds, and the batches that have such a goal
GOALS_US = {(1, 33, 240, 416): 80.0, (1, 81, 720, 1280): 1000.0}
ROUNDS = 20
PEERS = ("device copy", "torch.compile", "torch eager", "Hugging Face, CUDA", "Hugging Face, CPU")


def name_of(batch: tuple[int, int, int, int]) -> str:
    clips, *shape = batch
    return ("" if clips == 1 else f"{clips} of ") + "x".join(map(str, shape))


def rows(hugging_face: Callable, tune: bool) -> list[Row]:
    if not torch.cuda.is_available():
        names = [f"gpu {name_of(batch)} bf16 vs {peer}" for batch in BATCHES for peer in PEERS]
        return [Row(name, "us", name.split(" vs ")[1], why="no CUDA device") for name in names]
    from .tune import check_everything, sweep

    checks = check_everything()
    done = sweep() if tune else []
    for batch in BATCHES:
        done += _rows(batch, hugging_face, checks)
    return done


def frames(batch: tuple[int, int, int, int], seed: int = 0) -> list[torch.Tensor]:
    clips, *shape = batch
    random = torch.Generator("cuda").manual_seed(seed)
    return [
        torch.randint(0, 256, (*shape, 3), dtype=torch.uint8, device="cuda", generator=random) for _ in range(clips)
    ]


def input_sets(batch: tuple[int, int, int, int]) -> list[list[torch.Tensor]]:
    """Enough of them that their frames and patches are several times the second-level cache."""
    size = smart_resize(*batch[2:], MIN_PIXELS, MAX_PIXELS)
    megabytes = batch[0] * batch[1] * 3 * (batch[2] * batch[3] + 2 * size[0] * size[1]) / 1e6
    return [frames(batch, seed) for seed in range(max(1, min(12, int(400 / megabytes))))]


def ours(clips: Sequence[torch.Tensor], size: tuple[int, int], dtype=torch.bfloat16) -> torch.Tensor:
    return resize_normalize_patchify(clips, [size] * len(clips), dtype=dtype)


@cache
def constants(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    scale = 1.0 / (1 / 255)
    return (torch.tensor(MEAN) * scale).view(3, 1, 1).to(device), (torch.tensor(STD) * scale).view(3, 1, 1).to(device)


def torch_path(clip: torch.Tensor, size: tuple[int, int], layout=torch.contiguous_format) -> torch.Tensor:
    """The same mathematics in torch's operators; CUDA has no uint8 interpolation, so in float32."""
    mean, std = constants(clip.device)
    x = clip.permute(0, 3, 1, 2).contiguous(memory_format=layout).float()
    x = torch.nn.functional.interpolate(x, size, mode="bicubic", antialias=True).clamp(0, 255).round()
    x = ((x - mean) / std).to(torch.bfloat16)
    if len(x) % 2:
        x = torch.cat([x, x[-1:]])
    t, c, h, w = x.shape
    x = x.view(t // 2, 2, c, h // 28, 2, 14, w // 28, 2, 14).permute(0, 3, 6, 4, 7, 2, 1, 5, 8)
    return x.reshape(-1, 1176)


def graph_of(calls: Sequence[Callable]) -> torch.cuda.CUDAGraph:
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
    """Seconds of one of the `calls` captured in each graph; the graphs are replayed in turn."""
    seconds: list[list[float]] = [[] for _ in graphs]
    for turn in range(rounds + 2):
        for graph, times in zip(graphs, seconds, strict=True):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            graph.replay()
            end.record()
            end.synchronize()
            if turn > 1:
                times.append(begin.elapsed_time(end) / 1e3 / calls)
    return seconds


def kernel_calls(
    sets: list[list[torch.Tensor]], size, variant=None, semantics="u8", dtype=torch.bfloat16
) -> list[partial[None]]:
    """The launch alone on each set, its header already on the device."""
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
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return round((torch.cuda.max_memory_allocated() - before) / 1e6, 1)


def _rows(batch: tuple[int, int, int, int], hugging_face: Callable, checks: dict[str, float]) -> list[Row]:
    name = f"gpu {name_of(batch)} bf16 vs "
    size = smart_resize(*batch[2:], MIN_PIXELS, MAX_PIXELS)
    sets = input_sets(batch)
    clips = sets[0]
    moved = sum(clip.numel() for clip in clips) + ours(clips, size).nbytes
    memory = {"peak_mb": peak_megabytes(lambda: ours(clips, size))}
    mine = graph_of(kernel_calls(sets, size))

    def kernel_row(peer: str, calls: Sequence[Callable], **more) -> Row:
        us, theirs = replay_seconds([mine, graph_of(calls)], len(sets))
        more |= memory | {"peer_peak_mb": peak_megabytes(calls[0]), "gb_per_s": round(moved / median(us) / 1e9)}
        return row(name + peer, "us", peer, us, theirs, scale=1e6, **more)

    def copy() -> Row:
        flat = [torch.empty(moved // 2, dtype=torch.uint8, device="cuda") for _ in range(2 * len(sets))]
        return kernel_row("device copy", [partial(a.copy_, b) for a, b in zip(flat[::2], flat[1::2], strict=True)])

    def torch_row(peer: str, path: Callable, **more) -> Row:
        layout = _faster_layout(path, clips[0], size)
        return kernel_row(peer, [partial(_each, path, batch_clips, size, layout) for batch_clips in sets], **more)

    constants(clips[0].device)
    compiled = torch.compile(torch_path, dynamic=False)
    goals = {"goal": 1.0, "goal_us": GOALS_US.get(batch)} | checks
    makers: dict[str, Callable[[], Row]] = {
        "device copy": copy,
        "torch.compile": lambda: torch_row("torch.compile", compiled, **goals),
        "torch eager": lambda: torch_row("torch eager", torch_path),
        "Hugging Face, CUDA": lambda: _call_on_device(name, clips, size, hugging_face),
        "Hugging Face, CPU": lambda: _call_on_host(name, clips, size, hugging_face),
    }
    done = []
    for peer, make in makers.items():
        try:
            done.append(make())
        except Exception as error:  # a peer that cannot run here takes no other row with it
            done.append(Row(name + peer, "us", peer, why=f"{type(error).__name__}: {str(error)[:200]}"))
        torch.cuda.empty_cache()
    return done


def _each(call: Callable, clips: Sequence[torch.Tensor], size: tuple[int, int], layout) -> None:
    for clip in clips:
        call(clip, size, layout)


def _faster_layout(path: Callable, clip: torch.Tensor, size: tuple[int, int]) -> torch.memory_format:
    """Which of the two layouts torch's own interpolation likes better: the peer gets its better one."""
    layouts = (torch.contiguous_format, torch.channels_last)
    graphs = [graph_of([partial(path, clip, size, layout)]) for layout in layouts]
    times = [median(seconds) for seconds in replay_seconds(graphs, 1, rounds=5)]
    return layouts[times.index(min(times))]


def _call_on_device(name: str, clips: list[torch.Tensor], size: tuple[int, int], hugging_face: Callable) -> Row:
    """Whole calls, frames on the GPU, against the processor there."""
    processor = hugging_face(size={"shortest_edge": MIN_PIXELS, "longest_edge": MAX_PIXELS})
    videos = [clip.permute(0, 3, 1, 2) for clip in clips]

    def mine() -> None:
        ours(clips, size)
        torch.cuda.synchronize()

    def peer() -> torch.Tensor:
        patches = processor(videos=videos, device="cuda", return_tensors="pt")["pixel_values_videos"].to(torch.bfloat16)
        torch.cuda.synchronize()
        return patches

    host = []
    for _ in range(30):
        begin = perf_counter()
        ours(clips, size)
        host.append(perf_counter() - begin)
        torch.cuda.synchronize()
    more: dict[str, Any] = {"host_us": round(median(host) * 1e6, 1), "peer_peak_mb": peak_megabytes(peer)}
    more["values_that_differ"] = round((peer() != ours(clips, size)).float().mean().item(), 4)
    return row(
        name + "Hugging Face, CUDA", "us", "Hugging Face, CUDA", *in_turn(mine, peer, rounds=10), scale=1e6, **more
    )


def _call_on_host(name: str, clips: list[torch.Tensor], size: tuple[int, int], hugging_face: Callable) -> Row:
    """Whole calls, frames on the host and patches on the GPU, against the processor on the host."""
    processor = hugging_face(size={"shortest_edge": MIN_PIXELS, "longest_edge": MAX_PIXELS})
    hosted = [clip.cpu() for clip in clips]
    frames = [clip.numpy() for clip in hosted]

    def mine() -> None:
        ours([clip.to("cuda", non_blocking=True) for clip in hosted], size)
        torch.cuda.synchronize()

    def peer() -> torch.Tensor:
        patches = processor(videos=frames, return_tensors="pt")["pixel_values_videos"].to("cuda", torch.bfloat16)
        torch.cuda.synchronize()
        return patches

    equal = torch.equal(peer(), ours(clips, size))
    times = in_turn(mine, peer, rounds=2 if sum(clip.numel() for clip in clips) > 50e6 else 5)
    return row(name + "Hugging Face, CPU", "us", "Hugging Face, CPU", *times, scale=1e6, bit_equal=equal)
