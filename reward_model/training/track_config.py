"""What a training of `face-tracks` is told: a YAML with `kind: face-tracks`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from identity_reward_client.preference import THETA

from ..data.records import explain
from .config import Count, Positive, Rate, Section
from .errors import TrainingError

Share = Annotated[float, Field(ge=0, le=1)]


class TrackPairs(Section):
    """A JSONL of preference pairs, by the folder that the command runs in, and what one of its pairs counts."""

    path: str
    weight: Positive = 1.0


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
    # how often each group of numbers (`augment.GROUPS`) is hidden
    group_dropout: Share = 0.1


class FaceTracksConfig(Section):
    kind: Literal["face-tracks"] = "face-tracks"
    train: tuple[TrackPairs, ...] = ()
    # to stop early and to report on; without one, a tenth of the casts of `train`
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


def read_track_config(name_or_path: str, overrides: Sequence[str] = ()) -> FaceTracksConfig:
    """A YAML file, or "face-tracks" for the one that ships. `overrides`: KEY=VALUE, the key with dots, the value as
    YAML. TrainingError for all that isn't right."""
    shipped = Path(__file__).parent / "configs/face-tracks.yaml"
    path = shipped if name_or_path == shipped.stem else Path(name_or_path)
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        for override in overrides:
            key, _, text = override.partition("=")
            *sections, last = key.split(".")
            place: Any = values
            for section in sections:
                place = place.setdefault(section, {})
            place[last] = yaml.safe_load(text)
        return FaceTracksConfig.model_validate(values)
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path} can't be read: {error}") from None
    except ValidationError as error:
        raise TrainingError(f"{path}: {explain(error)}") from None
    except (yaml.YAMLError, AttributeError, TypeError) as error:
        raise TrainingError(f"{path}, or a --set, is no table of fields: {' '.join(str(error).split())}") from None
