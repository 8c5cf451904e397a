"""Scoring time of `face-tracks` on a CPU, from files to rewards, through the local client.

The peer is the script that a user of OpenCV would write, with the same networks and frames: decode, detect, embed and
compare one frame after the other, the references of every clip anew. It measures similarities only; ours also links
tracks, measures appearances and computes a reward. The peer detects faces in whole frames; the rows "shrunk frames"
let it shrink them to 640 pixels first, as ours does. Every call gets files that were never read before, so that no
cache of ours is hit, but for the references within a group.

"cold start" runs `identity-reward score --local` in a new process; its peer is the same command in the checkout
of another commit: `--before FOLDER`.

Gate: mean similarities of every person differ from those of the peer that shrinks frames by at most 0.01, and every
reward of the group is that of the clip alone.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image

from service.local import LocalRewardClient

from .support import harness
from .support.opencv_script import OpenCvScript

EXAMPLES = harness.ROOT / "examples"
ONE, TWO = ("anna",), ("bea", "carl")
TWO_PEOPLE = ("two_people", "two_people_evening", "two_people_one_missing", "two_people_one_replaced")


class Files:
    """Copies of the example files that no cache has seen: the same faces in other bytes."""

    def __init__(self, folder: Path):
        self._folder, self._numbers = folder, count()

    def references(self, names: tuple[str, ...]) -> list[Path]:
        """PNG images that differ from each other in one pixel of a corner."""
        paths = []
        for name in names:
            number = next(self._numbers)
            pixels = np.array(Image.open(EXAMPLES / f"references/{name}.jpg").convert("RGB"))
            pixels[0, 0] = number % 256, number // 256 % 256, 0
            paths.append(self._folder / f"{number}.png")
            Image.fromarray(pixels).save(paths[-1])
        return paths

    def clip(self, name: str) -> Path:
        """An MP4 file with a `free` box of its own at the end."""
        number = next(self._numbers)
        path = self._folder / f"{number}.mp4"
        box = (16).to_bytes(4, "big") + b"free" + number.to_bytes(8, "big")
        path.write_bytes((EXAMPLES / f"clips/{name}.mp4").read_bytes() + box)
        return path

    def groups(self, people: tuple[str, ...], clips: tuple[str, ...]) -> Iterator[tuple[list[Path], list[Path]]]:
        while True:
            yield self.references(people), [self.clip(name) for name in clips]


class Ours:
    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._client = LocalRewardClient(["face-tracks"])

    def close(self) -> None:
        self._runner.run(self._client.close())
        self._runner.close()

    def score(self, references: list[Path], clip: Path):
        return self._runner.run(self._client.score(references, clip, details=True))

    def group(self, references: list[Path], clips: list[Path]):
        return self._runner.run(self._client.score_group(references, clips, details=True))


def check(ours: Ours, script: OpenCvScript, files: Files) -> float:
    """The largest difference of mean similarities."""
    worst = 0.0
    for people, clips in ((ONE, ("one_person",)), (TWO, TWO_PEOPLE)):
        references, paths = next(files.groups(people, clips))
        group = ours.group(references, paths)
        for item, path in zip(group.items, paths, strict=True):
            alone = ours.score(files.references(people), files.clip(clips[item.index]))
            harness.gate(alone.reward == item.reward, f"{path.name} has another reward in a group than alone")
            similarities = [person["similarity"] for person in item.scored.details["people"]]
            worst = max(worst, float(np.abs(np.array(similarities) - script.similarities(references, path)).max()))
    harness.gate(worst <= 0.01, f"similarities differ from OpenCV's by {worst:.3g}, over 0.01")
    return worst


def in_process(rounds: int, folder: Path) -> list[harness.Row]:
    ours, files = Ours(), Files(folder)
    whole, shrunk = OpenCvScript(), OpenCvScript(longer_side_px=640)
    rows = []
    try:
        difference = check(ours, shrunk, files)
        for name, people, clips, goal in (
            ("one person", ONE, ("one_person",), 1.8),
            ("two people", TWO, ("two_people",), 1.8),
            ("two people, group of 8", TWO, TWO_PEOPLE * 2, 2.5),
        ):
            for suffix, script in (("", whole), (", shrunk frames", shrunk)):
                inputs = files.groups(people, clips)
                # written before anything is timed; the first two are those of the warm-up
                ahead = {side: iter([next(inputs) for _ in range(rounds + 1)]) for side in ("ours", "peer")}

                def run(ahead=ahead):
                    references, paths = next(ahead["ours"])
                    return ours.group(references, paths) if len(paths) > 1 else ours.score(references, paths[0])

                def run_peer(ahead=ahead, script=script):
                    references, paths = next(ahead["peer"])
                    return [script.similarities(references, path) for path in paths]

                times = harness.in_turn(run, run_peer, rounds)
                options = {} if suffix else {"goal": goal, "worst_difference": round(difference, 6)}
                rows.append(
                    harness.row(f"{name}{suffix}", "ms", "OpenCV, frame by frame", *times, scale=1e3, **options)
                )
    finally:
        ours.close()
    return rows


def cold_start(rounds: int, before: Path | None) -> harness.Row:
    name, peer_name = "cold start, score --local", "the commit before"
    if before is None:
        return harness.Row(name, "s", peer_name, goal=3.0, why="it needs --before, a checkout of another commit")
    command = [sys.executable, "-c", "from identity_reward_client.cli.app import main; main()", "score", "--local"]
    command += ["-r", str(EXAMPLES / "references/anna.jpg"), str(EXAMPLES / "clips/one_person.mp4")]

    def run(root: Path) -> None:
        path = os.pathsep.join(str(root / part) for part in ("", "clients", "kernels"))
        environment = {**os.environ, "PYTHONPATH": path}
        subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True)

    times = harness.in_turn(lambda: run(harness.ROOT), lambda: run(before), rounds)
    commit = subprocess.run(
        ["git", "-C", str(before), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    return harness.row(name, "s", peer_name, *times, goal=3.0, before=commit)


def measure(arguments: argparse.Namespace) -> list[harness.Row]:
    folder = Path(tempfile.mkdtemp())
    try:
        rows = in_process(arguments.rounds, folder)
    finally:
        shutil.rmtree(folder)
    return [*rows, cold_start(arguments.rounds, arguments.before)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--before", type=Path, help="checkout of the commit that the cold start is compared with")
    harness.main("face_tracks", measure, parser)
