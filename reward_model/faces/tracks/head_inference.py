"""The reward head of `face-tracks` in numpy, for scoring without torch. `reward_head` has the module that is trained.

It computes in float64 from the same float32 weights, so that its rewards differ from the module's by the rounding of
the module (about 1e-6), and a sample's reward depends on nothing but its features.

M members, P people, T frames, F frame features, C person features, H hidden, V person vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from scipy.special import erf

from reward_model.folder import CONFIG, WEIGHTS, CheckpointError

from .features import ClipFeatures
from .head_config import FEATURE_LIMIT, HIDDEN_FEATURES, SATURATION_RATE, TrackHeadConfig, read_head_config


class HeadInference:
    """All members of a head. Safe to call from several threads at once."""

    def __init__(self, config: TrackHeadConfig, tensors: Mapping[str, np.ndarray]):
        """`tensors`: the state of a `reward_head.TrackHead`, by name. CheckpointError unless they fit the config."""
        expected = _shapes(config)
        actual = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        if expected != actual:
            names = sorted(name for name in expected.keys() | actual if expected.get(name) != actual.get(name))
            raise CheckpointError(f"the tensors do not fit the config: {', '.join(names[:4])}")
        self.config = config
        self.num_parameters = sum(
            int(np.prod(shape)) for name, shape in expected.items() if name.startswith("members.")
        )
        wide = {name: np.asarray(tensor, np.float64) for name, tensor in tensors.items()}
        self._mean = {kind: wide[f"{kind}_mean"] for kind in ("frame", "person")}
        self._std = {kind: wide[f"{kind}_std"] for kind in ("frame", "person")}
        self._scale_M = np.exp([wide[f"members.{m}.log_scale"] for m in range(config.num_members)])
        # of each layer (weights [M, in, out], biases [M, 1, out])
        self._layers: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for layer in _layer_sizes(config):
            members = [f"members.{m}.{layer}" for m in range(config.num_members)]
            weights = np.stack([wide[f"{member}.weight"].T for member in members])
            self._layers[layer] = weights, np.stack([wide[f"{member}.bias"][None] for member in members])

    @classmethod
    def load(cls, folder: Path) -> HeadInference:
        """The head of a folder. CheckpointError for a missing, damaged or unfitting file."""
        config = read_head_config(folder)
        try:
            return cls(config, load_arrays(read_weights(folder, config)))
        except (SafetensorError, CheckpointError) as error:
            raise CheckpointError(f"{folder / WEIGHTS} doesn't fit its {CONFIG}: {error}") from None

    def reward(self, features: ClipFeatures) -> float:
        """The members' mean."""
        return float(self.per_member(features).mean())

    def per_member(self, features: ClipFeatures) -> np.ndarray:
        """[M] float64, as `reward_head` defines it."""
        config, terms = self.config, features.terms
        residual_M = config.residual_bound * np.tanh(self._residuals(features) / config.residual_bound)
        main = _saturated(terms.worst, config.saturation) + config.mean_share * terms.mean
        return self._scale_M * main + residual_M - config.copy_penalty * terms.copied

    def _residuals(self, features: ClipFeatures) -> np.ndarray:
        """[M] without a bound."""
        z_PTF, w_PC = self._standardized("frame", features.frames_PTF), self._standardized("person", features.person_PC)
        defined_PTF = ~np.isnan(features.frames_PTF)
        z_PTF[..., HIDDEN_FEATURES], defined_PTF[..., HIDDEN_FEATURES] = 0.0, False
        frames_PT1 = defined_PTF.any(-1, keepdims=True)
        vectors_MPV = self._vectors(z_PTF, defined_PTF, frames_PT1, w_PC)
        both_M1V = np.concatenate([vectors_MPV.mean(1, keepdims=True), vectors_MPV.min(1, keepdims=True)], -1)
        out_M11 = self._apply("out.2", _gelu(self._apply("out.0", both_M1V))) + self._apply("straight", both_M1V)
        return out_M11[:, 0, 0]

    def _standardized(self, kind: str, values: np.ndarray) -> np.ndarray:
        z = (values.astype(np.float64) - self._mean[kind]) / self._std[kind]
        return np.nan_to_num(np.clip(z, -FEATURE_LIMIT, FEATURE_LIMIT), nan=0.0)

    def _vectors(
        self, z_PTF: np.ndarray, defined_PTF: np.ndarray, frames_PT1: np.ndarray, w_PC: np.ndarray
    ) -> np.ndarray:
        """[M, P, V] of each person on their own."""
        M, (P, T, _) = self.config.num_members, z_PTF.shape
        hidden = _gelu(self._apply("embed", z_PTF.reshape(P * T, -1))).reshape(M, P, T, -1) * frames_PT1
        ends = np.pad(hidden, ((0, 0), (0, 0), (1, 1), (0, 0)))
        three = np.concatenate([ends[:, :, :-2], hidden, ends[:, :, 2:]], -1).reshape(M, P * T, -1)
        hidden = hidden + _gelu(self._apply("time", three)).reshape(hidden.shape) * frames_PT1
        scores = self._apply("attention", hidden.reshape(M, P * T, -1)).reshape(M, P, T, 1)
        scores = np.where(frames_PT1, scores, -1e4)
        weights = np.exp(scores - scores.max(2, keepdims=True))
        pooled = np.broadcast_to(np.concatenate([*_pools(z_PTF, defined_PTF), w_PC], -1), (M, P, self._pooled_size))
        pooled_hidden = [
            hidden.sum(2) / np.maximum(frames_PT1.sum(1), 1),
            np.where(frames_PT1, hidden, -1e4).max(2).clip(min=-1e3),
            (hidden * weights).sum(2) / weights.sum(2),
        ]
        split = 4 * z_PTF.shape[-1]
        features = np.concatenate([pooled[..., :split], *pooled_hidden, pooled[..., split:]], -1)
        return self._apply("vector", _gelu(self._apply("person.0", features)))

    @property
    def _pooled_size(self) -> int:
        return 4 * len(self.config.frame_features) + len(self.config.person_features)

    def _apply(self, layer: str, values: np.ndarray) -> np.ndarray:
        """[M, rows, out] from [rows, in] or [M, rows, in]."""
        weights, biases = self._layers[layer]
        return values @ weights + biases


def read_weights(folder: Path, config: TrackHeadConfig) -> bytes:
    """The bytes of the weights' file. CheckpointError if it is not the one that the config was written with."""
    data = (folder / WEIGHTS).read_bytes()
    if sha256(data).hexdigest() != config.weights_sha256:
        raise CheckpointError(
            f"{folder / WEIGHTS} isn't the file that {CONFIG} was written with: it is damaged or was replaced; "
            "restore both, or train them again"
        )
    return data


def _saturated(similarity: float, limit: float) -> float:
    return similarity - float(np.logaddexp(0.0, SATURATION_RATE * (similarity - limit))) / SATURATION_RATE


def _gelu(x: np.ndarray) -> np.ndarray:
    return 0.5 * x * (1.0 + erf(x * 0.5**0.5))


def _pools(z_PTF: np.ndarray, defined_PTF: np.ndarray) -> list[np.ndarray]:
    """Mean, min, max and std over the frames where a feature is defined; 0 where it never is (std: 1e-3)."""
    count = defined_PTF.sum(1)
    at_least_1 = np.maximum(count, 1)
    mean = (z_PTF * defined_PTF).sum(1) / at_least_1
    lowest = np.where(defined_PTF, z_PTF, np.inf).min(1)
    highest = np.where(defined_PTF, z_PTF, -np.inf).max(1)
    std = np.sqrt((((z_PTF - mean[:, None]) * defined_PTF) ** 2).sum(1) / at_least_1 + 1e-6)
    none = count == 0
    return [mean, np.where(none, 0.0, lowest), np.where(none, 0.0, highest), std]


def _layer_sizes(config: TrackHeadConfig) -> dict[str, tuple[int, int]]:
    """(outputs, inputs) of each layer of a member."""
    F, C, H, V = len(config.frame_features), len(config.person_features), config.hidden, config.person_width
    return {
        "embed": (H, F),
        "time": (H, 3 * H),
        "attention": (1, H),
        "person.0": (2 * H, 4 * F + 3 * H + C),
        "vector": (V, 2 * H),
        "out.0": (H, 2 * V),
        "out.2": (1, H),
        "straight": (1, 2 * V),
    }


def _shapes(config: TrackHeadConfig) -> dict[str, tuple[int, ...]]:
    """Shapes of all tensors of a `reward_head.TrackHead`."""
    shapes: dict[str, tuple[int, ...]] = {}
    for m in range(config.num_members):
        shapes[f"members.{m}.log_scale"] = ()
        for layer, size in _layer_sizes(config).items():
            shapes[f"members.{m}.{layer}.weight"], shapes[f"members.{m}.{layer}.bias"] = size, size[:1]
    for kind, names in (("frame", config.frame_features), ("person", config.person_features)):
        shapes[f"{kind}_mean"] = shapes[f"{kind}_std"] = (len(names),)
    return shapes
