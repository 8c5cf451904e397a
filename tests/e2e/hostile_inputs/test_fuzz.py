"""A thousand real files, each damaged at random: an answer to every one, and no crash, hang or leak."""

import io
import itertools
import time
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from identity_reward_client import messages
from identity_reward_client.wire import raw_body
from tests.e2e.hostile_inputs.table import SAFETENSORS, Answer, Caller
from tests.support.paths import EXAMPLES

EACH = 250
SEED = 20251021


def png(path: Path) -> bytes:
    file = io.BytesIO()
    Image.open(path).resize((256, 256)).save(file, "PNG")
    return file.getvalue()


def raw_group(path: Path) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    video = messages.Video(frames=messages.Pixels(shape=[4, 32, 32, 3], data=pixels.tobytes()), fps=8)
    return raw_body.encode(
        messages.GroupRequest(model="arcface", references=[messages.Image(data=path.read_bytes())], videos=[video])
    )


def send_raw(caller: Caller, data: bytes) -> Answer:
    return caller.send("/v1/groups:raw", data, SAFETENSORS)


REFERENCE = EXAMPLES / "references/anna.jpg"
# kind -> (a valid file, how it is sent)
KINDS = {
    "mp4": (lambda: (EXAMPLES / "clips/two_people_one_missing.mp4").read_bytes(), Caller.file),
    "jpg": (REFERENCE.read_bytes, Caller.reference_file),
    "png": (lambda: png(REFERENCE), Caller.reference_file),
    "safetensors": (lambda: raw_group(REFERENCE), send_raw),
}

# 32-bit values that sizes, counts and offsets are rarely checked against
EXTREMES = [0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


def mutated(data: bytes, random: np.random.Generator) -> bytes:
    """One to four changes, half of them in the first kilobyte, where headers are."""
    broken = bytearray(data)
    for _ in range(random.integers(1, 5)):
        end = min(len(broken), 1024) if random.random() < 0.5 else len(broken)
        at = int(random.integers(0, max(end, 1)))
        length = int(random.integers(1, 64))
        change = random.integers(0, 7)
        if change == 0:
            broken[at : at + 1] = bytes([int(random.integers(256))])
        elif change == 1:
            broken[at : at + length] = random.bytes(length)
        elif change == 2:
            broken[at : at + 4] = int(random.choice(EXTREMES)).to_bytes(4, "big" if random.random() < 0.5 else "little")
        elif change == 3:
            del broken[at : at + length]
        elif change == 4:
            broken[at:at] = broken[at : at + length]
        elif change == 5:
            broken[at : at + length] = bytes(length)
        else:
            del broken[max(at, 1) :]
    return bytes(broken)


def with_checksums(png: bytes) -> bytes:
    """Valid checksums on every chunk that still is one, so that the code behind them is tested too."""
    sealed, at = bytearray(png), 8
    while at + 12 <= len(sealed):
        end = at + 8 + int.from_bytes(sealed[at : at + 4], "big")
        if end + 4 > len(sealed):
            break
        sealed[end : end + 4] = zlib.crc32(sealed[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(sealed)


@pytest.mark.slow
def test_a_thousand_damaged_files_get_an_answer_each(serve, reference_jpeg, clip_mp4):
    # keeps little of the references it has seen, so that what grows is a leak
    server = serve("--model", "arcface", "--port", "0").wait_ready()
    caller = Caller(server.url, reference_jpeg, clip_mp4, "arcface")
    processes = {process.pid for process in server.process.children(recursive=True)}
    random = np.random.default_rng(SEED)
    seeds = {kind: make() for kind, (make, _) in KINDS.items()}
    answers: Counter = Counter()
    sizes, slowest = [], 0.0
    for number, kind in enumerate(itertools.chain.from_iterable([KINDS] * EACH)):
        started = time.monotonic()
        broken = mutated(seeds[kind], random)
        if kind == "png" and number % 8 < 4:
            broken = with_checksums(broken)
        answer = KINDS[kind][1](caller, broken)
        slowest = max(slowest, time.monotonic() - started)
        answers[kind, answer.status, answer.code] += 1
        assert answer.status < 500, f"file {number} ({kind}): {answer}"
        if number % 200 == 199:
            assert caller.score().status == 200
            sizes.append(server.memory_bytes())
    print(f"slowest {slowest:.2f} s; megabytes {[size >> 20 for size in sizes]}")
    for line in sorted(answers.items()):
        print(*line)
    assert slowest < 20
    assert {process.pid for process in server.process.children(recursive=True)} == processes, "a process was lost"
    assert psutil.STATUS_ZOMBIE not in {psutil.Process(pid).status() for pid in processes}
    assert sizes[-1] - sizes[0] < 24 << 20, sizes
    assert "".join(server.err) == ""
