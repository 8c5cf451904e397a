"""Prompts of casts for this policy: `python -m examples.people_policy.make_prompts OUT`.

Writes the folders `OUT/train` and `OUT/held-out`, which share no people. Each has `prompts.jsonl` ({"id", "prompt",
"references"}) with portraits beside it, and the codes of the people in `truth.jsonl` ({"id", "codes"}), which only
`ground_truth` reads. A quarter of the casts are one person.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from reward_model.data.people.appearance.describe import describe
from reward_model.data.people.appearance.person_code import person_from_code
from reward_model.data.people.dataset.media import write_png
from reward_model.data.people.rendering.factory import open_renderer
from reward_model.data.people.scenarios.scenario import ACTIVITIES, ACTIVITIES_ALONE
from reward_model.data.people.scenes.portrait import Portrait
from reward_model.data.progress import Progress, progress, unseen
from reward_model.data.seeding import generator

from .ground_truth import true_code
from .scene import sample_portraits, scene_seed

PROMPTS, TRUTH = "prompts.jsonl", "truth.jsonl"
ALONE_SHARE = 0.25


@dataclass(frozen=True)
class PromptCast:
    """key: of the prompt. codes_PC: of the people, in the order in which the prompt names them."""

    key: str
    codes_PC: np.ndarray

    @property
    def portraits(self) -> tuple[Portrait, ...]:
        return sample_portraits(scene_seed(self.key), [person_from_code(code, "") for code in self.codes_PC])

    @property
    def text(self) -> str:
        rng = generator("prompt text", self.key)
        people = [describe(portrait.person, portrait.clothes) for portrait in self.portraits]
        if len(people) == 1:
            return f"{people[0].capitalize()} {ACTIVITIES_ALONE[int(rng.integers(len(ACTIVITIES_ALONE)))]}."
        activity = ACTIVITIES[int(rng.integers(len(ACTIVITIES)))]
        return f"Two people {activity}. The first person is {people[0]}. The second person is {people[1]}."


def sample_prompt_cast(seed: int, index: int) -> PromptCast:
    """A function of its arguments; every fourth cast is one person."""
    key = f"people-{seed}-{index:04d}"
    num_people = 1 if index % round(1 / ALONE_SHARE) == round(1 / ALONE_SHARE) - 1 else 2
    return PromptCast(key, np.stack([true_code(seed, f"{key} {n}") for n in range(num_people)]))


def write_prompts(out: Path, num_casts: int, seed: int, progress: Progress = unseen) -> None:
    """Writes a new folder; casts of another seed are other people. FileExistsError for one that has prompts."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "references").mkdir(exist_ok=True)
    renderer = open_renderer()
    try:
        with (
            (out / PROMPTS).open("x") as prompts,
            (out / TRUTH).open("x") as truth,
            progress(f"casts of {out.name}", num_casts) as steps,
        ):
            for index in range(num_casts):
                cast = sample_prompt_cast(seed, index)
                paths = [f"references/{cast.key}{letter}.png" for letter in "ab"[: len(cast.codes_PC)]]
                for path, portrait in zip(paths, cast.portraits, strict=True):
                    write_png(out / path, portrait.render(renderer))
                prompts.write(json.dumps({"id": cast.key, "prompt": cast.text, "references": paths}) + "\n")
                codes = [[round(float(value), 6) for value in code] for code in cast.codes_PC]
                truth.write(json.dumps({"id": cast.key, "codes": codes}) + "\n")
                steps.advance()
    finally:
        renderer.close()


def read_truth(path: Path) -> dict[str, np.ndarray]:
    """{key: codes [P, C] float32} of a truth file."""
    rows = (json.loads(line) for line in path.read_text().splitlines())
    return {row["id"]: np.asarray(row["codes"], np.float32) for row in rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder that is written")
    parser.add_argument("--casts", type=int, default=128, help="casts to train on")
    parser.add_argument("--held-out", type=int, default=32, help="casts of other people, to measure on")
    parser.add_argument("--seed", type=int, default=1, help="of the casts to train on; held-out ones have the next")
    args = parser.parse_args()
    try:
        write_prompts(args.out / "train", args.casts, args.seed, progress)
        write_prompts(args.out / "held-out", args.held_out, args.seed + 1, progress)
    except FileExistsError as error:
        raise SystemExit(f"{error.filename} exists already; give another folder") from None


if __name__ == "__main__":
    main()
