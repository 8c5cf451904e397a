"""Data sets of coloured noise: a person is a colour, and the better video shows the colours of the references."""

import numpy as np
from PIL import Image

from reward_model.data.packed_clip import write_packed
from reward_model.data.records import PreferencePair, Reference, Votes, write_pairs
from reward_model.types import Video

LABELS = {"A": Votes(A=3), "B": Votes(B=3), "tie": Votes(tie=3)}


def noise_image(rng, color, height=56, width=56):
    noise = rng.normal(0, 25, (height, width, 3))
    return np.clip(np.asarray(color) + noise, 0, 255).astype(np.uint8)


def write_clip(path, rng, color, frames=4, fps=8.0):
    images = np.stack([noise_image(rng, color) for _ in range(frames)])
    write_packed(path, Video(images, fps, frames, tuple(range(frames))))


def make_data(folder, labels, name="train.jsonl", seed=0, auto_noise=False):
    """Writes a JSONL with one pair for each label into `folder`, with its media, and returns its path."""
    rng = np.random.default_rng(seed)
    (folder / "references").mkdir(parents=True, exist_ok=True)
    (folder / "clips").mkdir(exist_ok=True)
    pairs = []
    for number, label in enumerate(labels):
        stem = f"{name.removesuffix('.jsonl')}-{seed}-{number}"
        matching, other = rng.integers(20, 236, (2, 3))
        reference = f"references/{stem}.png"
        Image.fromarray(noise_image(rng, matching)).save(folder / reference)
        colors = {"A": (matching, other), "B": (other, matching), "tie": (matching, matching)}[label]
        clips = [f"clips/{stem}-{side}.safetensors" for side in "ab"]
        for clip, color in zip(clips, colors, strict=True):
            write_clip(folder / clip, rng, color)
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
