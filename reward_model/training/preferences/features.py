"""Disk cache of a frozen vision tower's features of images and videos.

Each image or video has a file, named by a hash of its content and frame rate, the tower's weights and the
preprocessing: runs that start from the same tower share them, and an interrupted run continues. Features cannot be
mirrored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from identity_reward_client.errors import RewardError
from reward_model.data.progress import progress
from reward_model.qwen.model import RewardModel
from reward_model.qwen.preprocess import PreparedMedia, Preprocessor

from ..data.media import FileMedia
from ..errors import TrainingError

# images and videos of one forward pass of the tower
BATCH = 8

# path, frame rate, and whether it is a reference image
_Item = tuple[Path, float | None, bool]


class FeatureMedia:
    """A `MediaSource` whose media hold the tower's features, float32 [tokens, hidden], in place of patches."""

    def __init__(self, preprocess: Preprocessor, model: RewardModel, folder: Path):
        self.preprocess, self.folder = preprocess, folder
        self._tower: Any = model.body.visual
        self._model, self._files = model, FileMedia(preprocess)
        digest = sha256(repr(preprocess.config.frame_sampling).encode())
        for name, value in self._tower.state_dict().items():
            digest.update(name.encode())
            digest.update(value.float().cpu().contiguous().numpy().tobytes())
        self._salt = digest.digest()
        self._names: dict[_Item, str] = {}

    def prepare(self, references: Iterable[Path], videos: Iterable[tuple[Path, float | None]]) -> None:
        """Computes the features that the folder lacks. The TrainingError of an unreadable file names it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        items: list[_Item] = [(path, None, True) for path in dict.fromkeys(references)]
        items += [(path, fps, False) for path, fps in dict.fromkeys(videos)]
        missing = [item for item in items if not self._file(*item).is_file()]
        if not missing:
            return
        with progress("features of the tower", len(missing)) as steps:
            for start in range(0, len(missing), BATCH):
                part = missing[start : start + BATCH]
                media = [self._medium(*item) for item in part]
                for item, medium, features in zip(part, media, self._encode(media), strict=True):
                    self._write(self._file(*item), medium, features)
                steps.advance(len(part))

    def _medium(self, path: Path, fps: float | None, reference: bool) -> PreparedMedia:
        try:
            return self._files.references([path], [False])[0] if reference else self._files.video(path, fps, False)
        except (RewardError, OSError) as error:
            raise TrainingError(f"{path}: {error}; mend it, or remove its pairs") from None

    def references(self, paths: Sequence[Path], mirrored: Sequence[bool]) -> list[PreparedMedia]:
        """Stored features of reference images; TrainingError for mirrored ones."""
        if any(mirrored):
            raise TrainingError("features of a frozen tower can't be mirrored: set data.mirror to false")
        return [self._read(path, None, True) for path in paths]

    def video(self, path: Path, fps: float | None, mirrored: bool) -> PreparedMedia:
        """Stored features of a video; TrainingError if it is to be mirrored."""
        if mirrored:
            raise TrainingError("features of a frozen tower can't be mirrored: set data.mirror to false")
        return self._read(path, fps, False)

    @torch.no_grad()
    def _encode(self, media: Sequence[PreparedMedia]) -> Sequence[torch.Tensor]:
        device, dtype = self._model.device, self._tower.patch_embed.proj.weight.dtype
        grids = torch.tensor([medium.grid for medium in media], device=device)
        patches = torch.cat([medium.patches.to(device, dtype) for medium in media])
        features = self._tower(patches, grid_thw=grids).pooler_output
        return features.float().cpu().split([g[0] * g[1] * g[2] // 4 for g in (m.grid for m in media)])

    def _file(self, path: Path, fps: float | None, reference: bool) -> Path:
        item = path, fps, reference
        if item not in self._names:
            key = repr((fps, reference)).encode()
            self._names[item] = sha256(self._salt + key + path.read_bytes()).hexdigest()[:32]
        return self.folder / f"{self._names[item]}.safetensors"

    def _write(self, file: Path, medium: PreparedMedia, features: torch.Tensor) -> None:
        partial = file.with_name(f".{file.name}.{os.getpid()}")
        metadata = {"grid": medium.grid, "key": medium.key, "second_per_grid": medium.second_per_grid}
        save_file({"features": features.contiguous()}, partial, {"medium": json.dumps(metadata)})
        partial.rename(file)

    def _read(self, path: Path, fps: float | None, reference: bool) -> PreparedMedia:
        with safe_open(self._file(path, fps, reference), "pt") as opened:
            metadata, features = json.loads(opened.metadata()["medium"]), opened.get_tensor("features")
        return PreparedMedia(tuple(metadata["grid"]), features, metadata["key"], metadata["second_per_grid"])
