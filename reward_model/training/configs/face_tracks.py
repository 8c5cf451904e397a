"""What a training of `face-tracks` is told: a YAML with `kind: face-tracks`."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from identity_reward_client.preference import THETA

from .preferences import Count, Positive, Rate, RunConfig, Section

Share = Annotated[float, Field(ge=0, le=1)]


class TrackPairs(Section):
    """A JSONL of preference pairs, by the folder that the command runs in, and what one of its pairs counts."""

    path: str
    weight: Positive = 1.0
    # pairs to add for each cast: a good clip of it beside a good clip of other people
    strangers: Annotated[int, Field(ge=0)] = 0


class TrackAugmentation(Section):
    """What is drawn anew for each pair and step, alike for both of its clips unless said otherwise. It stands for what
    differs between rendered people and photographs, or between cameras."""

    # largest share of frames that are hidden, of each clip by itself
    frame_dropout: Share = 0.4
    # standard deviations of what is added to all similarities to the references, and to each by itself
    similarity_shift: Rate = 0.06
    similarity_noise: Rate = 0.015
    # of log sharpness, and of log2 of the size
    sharpness_shift: Rate = 0.4
    size_shift: Rate = 0.7
    # motion between frames is multiplied by 2 to the power of a deviate with this spread
    motion_scale: Rate = 0.4
    # how often each group of numbers (`track_augment.GROUPS`) is hidden
    group_dropout: Share = 0.1


class FaceTracksConfig(RunConfig):
    kind: Literal["face-tracks"] = "face-tracks"
    train: tuple[TrackPairs, ...] = ()
    # to stop early and to report on; without one, about a tenth of `train`, of people whom the rest doesn't show
    dev: tuple[str, ...] = ()
    # folder in which the features of clips are kept
    cache: str = ".face-tracks"
    # processes that read clips; each takes about 300 MB
    workers: Count = 2
    # heads of other seeds whose rewards are averaged; all are one file
    members: Count = 4
    hidden: Count = 24
    person_width: Count = 24
    # most epochs, and how many without a lower loss on dev end it
    epochs: Count = 80
    patience: Count = 15
    batch: Count = 128
    # of AdamW at its highest; it falls as a cosine
    learning_rate: Positive = 2e-3
    weight_decay: Rate = 0.02
    augmentation: TrackAugmentation = TrackAugmentation()
    theta: Annotated[float, Field(gt=1, allow_inf_nan=False)] = THETA
    seed: int = 0

    @classmethod
    def files_of(cls, folder: Path) -> list[str]:
        found = [
            f"train=[{{path: {dumps(str(folder / 'train.jsonl'))}}}]",
            f"cache={dumps(str(folder / '.face-tracks'))}",
        ]
        if (folder / "dev.jsonl").is_file():
            found.append(f"dev=[{dumps(str(folder / 'dev.jsonl'))}]")
        return found
