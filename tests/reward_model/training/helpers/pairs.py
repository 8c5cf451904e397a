"""Data sets of coloured noise: a person is a colour, and the better video shows the colours of the references."""

import numpy as np
from PIL import Image

from reward_model.data.packed_clip import write_packed
from reward_model.data.records import PreferencePair, Reference, Votes, write_pairs
from reward_model.types import Video

LABELS = {"A": Votes(A=3), "B": Votes(B=3), "tie": Votes(tie=3)}


def picture(draw, color, height=56, width=56):
    noise = draw.normal(0, 25, (height, width, 3))
    return np.clip(np.asarray(color) + noise, 0, 255).astype(np.uint8)


def write_clip(path, draw, color, frames=4, fps=8.0):
    shown = np.stack([picture(draw, color) for _ in range(frames)])
    write_packed(path, Video(shown, fps, frames, tuple(range(frames))))


def make_data(folder, labels, name="train.jsonl", seed=0, auto_noise=False):
    """A JSONL of one pair for each label, in `folder`; the path of it."""
    draw = np.random.default_rng(seed)
    (folder / "references").mkdir(parents=True, exist_ok=True)
    (folder / "clips").mkdir(exist_ok=True)
    pairs = []
    for number, label in enumerate(labels):
        stem = f"{name.removesuffix('.jsonl')}-{seed}-{number}"
        right, wrong = draw.integers(20, 236, (2, 3))
        reference = f"references/{stem}.png"
        Image.fromarray(picture(draw, right)).save(folder / reference)
        shown = {"A": (right, wrong), "B": (wrong, right), "tie": (right, right)}[label]
        clips = [f"clips/{stem}-{which}.safetensors" for which in "ab"]
        for clip, color in zip(clips, shown, strict=True):
            write_clip(folder / clip, draw, color)
        pairs.append(
            PreferencePair(
                pair_id=stem,
                prompt="A person.",
                references=(Reference(path=reference, person=f"person of {stem}"),),
                video_a=clips[0],
                video_b=clips[1],
                label=label,
                votes=LABELS[label],
                source="construction",
                split="train",
                meta={"mode": "wrong_person" if label != "tie" else "nuisance", "cluster": f"c{number // 2}"},
            )
        )
    write_pairs(folder / name, pairs)
    return folder / name
