"""Configuration of a training of the `face-tracks` scorer: a YAML file with `kind: face-tracks`."""

from __future__ import annotations

from json import dumps
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from identity_reward_client.preference import THETA

from .base import Count, NonNegative, Positive, RunConfig, Section, Share, Theta


class TrackPairs(Section):
    """A JSONL of preference pairs, relative to the working directory of the command, and the weight of its pairs."""

    # the file, relative to the working directory of the command
    path: str
    # weight of each of its pairs in the loss
    weight: Positive = 1.0
    # pairs added for each cast: a good clip of the cast beside a good clip of other people
    strangers: Annotated[int, Field(ge=0)] = 0


class TrackAugmentation(Section):
    """Random changes of features, sampled for each pair and step, and the same for both of its clips unless stated
    otherwise. They cover differences between rendered people and photographs, or between cameras."""

    # largest share of frames that are hidden, sampled for each clip
    frame_dropout: Share = 0.4
    # standard deviation of an offset of all similarities to the references
    similarity_shift: NonNegative = 0.06
    # standard deviation of noise of each similarity
    similarity_noise: NonNegative = 0.015
    # standard deviation of an offset of log sharpness
    sharpness_shift: NonNegative = 0.4
    # standard deviation of an offset of log2 size
    size_shift: NonNegative = 0.7
    # standard deviation of log2 of the factor on motion between frames
    motion_scale: NonNegative = 0.4
    # probability that a group of features (`augment.GROUPS`) is hidden
    group_dropout: Share = 0.1


class FaceTracksConfig(RunConfig):
    """Configuration of `kind: face-tracks`."""

    kind: Literal["face-tracks"] = "face-tracks"
    # data sets to train on
    train: tuple[TrackPairs, ...] = ()
    # for early stopping and measurements; empty: about a tenth of `train`, of people whom the rest does not show
    dev: tuple[str, ...] = ()
    # one of the files of `train`, whose people stop the training in turn: each network learns without a part of them,
    # one of as many parts as networks, and stops by the pairs of these people. In place of `dev`
    stop_on: str = ""
    # folder that caches the features of clips
    cache: str = ".face-tracks"
    # processes that read clips; each takes about 300 MB
    workers: Count = 2
    # networks of different seeds whose rewards are averaged, saved in one file
    members: Count = 5
    # width of the layers over the frames of a person
    hidden: Count = 24
    # width of the layer over a person
    person_width: Count = 24
    # cosine similarity at which the main term of the reward saturates
    saturation: Positive = 0.5
    # weight of the mean similarity over people and frames in the main term, beside the worst person's
    mean_share: NonNegative = 0.2
    # factor of the main term before the first step; it is learned
    initial_scale: Positive = 12.0
    # largest absolute value, in rewards, that the networks can add to the main term
    residual_bound: Positive = 3.0
    # factor on the networks' disagreement in the `spread` of an answer; cross_validation.py fits it on held-out people
    spread_scale: Positive = 1.0
    # maximum of epochs
    epochs: Count = 60
    # epochs without a lower loss on dev after which a member stops
    patience: Count = 30
    # pairs of a step
    batch: Count = 128
    # peak of AdamW's rate, followed by a cosine decay
    learning_rate: Positive = 1e-3
    # of AdamW
    weight_decay: NonNegative = 0.02
    augmentation: TrackAugmentation = TrackAugmentation()
    # tie parameter of Bradley-Terry-with-Ties
    theta: Theta = THETA
    # of all random samples
    seed: int = 0

    @model_validator(mode="after")
    def _stops_on_a_file_of_train(self) -> Self:
        if self.stop_on and (self.dev or self.stop_on not in [file.path for file in self.train]):
            raise ValueError(f"stop_on {self.stop_on!r} is one of the files of train, and there is no dev beside it")
        return self

    @classmethod
    def data_overrides(cls, folder: Path) -> list[str]:
        overrides = [
            f"train=[{{path: {dumps(str(folder / 'train.jsonl'))}}}]",
            f"cache={dumps(str(folder / '.face-tracks'))}",
        ]
        if (folder / "dev.jsonl").is_file():
            overrides.append(f"dev=[{dumps(str(folder / 'dev.jsonl'))}]")
        return overrides
