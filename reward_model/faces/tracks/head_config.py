"""Configuration of the reward head of `face-tracks`, stored beside its weights."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from json import JSONDecodeError, dumps, loads
from pathlib import Path
from typing import Any

from reward_model.folder import CONFIG, WEIGHTS, CheckpointError

from .features import FRAME_FEATURES, PERSON_FEATURES, REVISION

KIND = "face-tracks"
# standardized features are clipped to this
FEATURE_LIMIT = 4.0
# indices of features of a frame that the residual networks never see: a copy is the main term's to judge
HIDDEN_FEATURES = [list(FRAME_FEATURES).index("copy")]
# steepness of the saturation of the main term, per unit of cosine
SATURATION_RATE = 20.0
# fields without influence on rewards
_NOT_IN_REWARDS = frozenset({"training", "spread_scale"})


@dataclass(frozen=True)
class TrackHeadConfig:
    """Stored as config.json beside the weights."""

    hidden: int = 24
    # size of the vector that is pooled over people
    person_width: int = 24
    num_members: int = 1
    # cosine similarity at which the main term saturates
    saturation: float = 0.5
    # weight of the mean over people and frames beside the worst person's
    mean_share: float = 0.2
    # largest absolute value of the residual, in rewards
    residual_bound: float = 3.0
    # factor on the members' disagreement in `spread`, calibrated on held-out people; without influence on rewards
    spread_scale: float = 1.0
    # names in order: a head that was trained on other features is refused
    frame_features: tuple[str, ...] = tuple(FRAME_FEATURES)
    person_features: tuple[str, ...] = tuple(PERSON_FEATURES)
    features_revision: int = REVISION
    # SHA-256 of the two face networks that it was trained with
    detector_sha256: str = ""
    embedder_sha256: str = ""
    # data, seeds and accuracies of the training; without influence on scores
    training: dict[str, Any] | None = None
    # of the weights' file
    weights_sha256: str = ""

    @property
    def copy_penalty(self) -> float:
        """What a copied clip loses, in rewards: more than the residual's range."""
        return 2 * self.residual_bound + 1.0

    @property
    def fingerprint(self) -> str:
        """SHA-256 of everything that decides a reward."""
        score_relevant = {key: value for key, value in asdict(self).items() if key not in _NOT_IN_REWARDS}
        return sha256(dumps(score_relevant, sort_keys=True).encode()).hexdigest()


def read_head_config(folder: Path) -> TrackHeadConfig:
    """CheckpointError if the folder holds no head, or one for other features than this version computes."""
    missing = [name for name in (CONFIG, WEIGHTS) if not (folder / name).is_file()]
    if missing:
        raise CheckpointError(f"{folder} lacks {', '.join(missing)}: it holds no face-tracks head")
    try:
        values = loads((folder / CONFIG).read_text())
        if not isinstance(values, dict) or values.pop("kind", None) != KIND:
            raise ValueError(f'its "kind" is not {KIND!r}')
        if unknown := set(values) - {field.name for field in fields(TrackHeadConfig)}:
            raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
        for name in ("frame_features", "person_features"):
            values[name] = tuple(values[name])
        config = TrackHeadConfig(**values)
    except (JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG} isn't a face-tracks head's: {error}") from None
    current = TrackHeadConfig()
    for name in ("frame_features", "person_features", "features_revision"):
        if getattr(config, name) != getattr(current, name):
            raise CheckpointError(
                f"the head in {folder} was trained on other {name.replace('_', ' ')} than this version computes; "
                "train it again: identity-reward train-reward face-tracks"
            )
    return config


def head_config_json(config: TrackHeadConfig) -> str:
    return dumps({"kind": KIND, **asdict(config)}, indent=1) + "\n"
