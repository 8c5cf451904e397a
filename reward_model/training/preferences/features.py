"""What a tower that isn't trained makes of pictures and videos: computed once, kept on disk, read at every draw.

A file for each picture or video, named by the hash of its content and rate, the tower's weights and the preprocessing:
runs that start from the same tower share them, and an interrupted run goes on. Pictures can't be mirrored any more.
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

from ..errors import TrainingError
from .media import FileMedia

# pictures and videos of one pass through the tower
BATCH = 8


class FeatureMedia:
    """A `MediaSource` whose media hold the tower's features, [tokens, hidden], in place of patches."""

    def __init__(self, preprocess: Preprocessor, model: RewardModel, folder: Path):
        self.preprocess, self.folder = preprocess, folder
        self._tower: Any = model.body.visual
        self._model, self._files = model, FileMedia(preprocess)
        digest = sha256(repr(preprocess.config.frame_sampling).encode())
        for name, value in self._tower.state_dict().items():
            digest.update(name.encode())
            digest.update(value.float().cpu().contiguous().numpy().tobytes())
        self._salt = digest.digest()
        self._names: dict[tuple[Path, float | None, bool], str] = {}

    def prepare(self, references: Iterable[Path], videos: Iterable[tuple[Path, float | None]]) -> None:
        """Computes what isn't there yet. TrainingError names the file that can't be read."""
        self.folder.mkdir(parents=True, exist_ok=True)
        asked: list[tuple[Path, float | None, bool]] = [(path, None, True) for path in dict.fromkeys(references)]
        asked += [(path, fps, False) for path, fps in dict.fromkeys(videos)]
        missing = [item for item in asked if not self._file(*item).is_file()]
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
        if any(mirrored):
            raise TrainingError("features of a frozen tower can't be mirrored: set data.mirror to false")
        return [self._read(path, None, True) for path in paths]

    def video(self, path: Path, fps: float | None, mirrored: bool) -> PreparedMedia:
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
            told = repr((fps, reference)).encode()
            self._names[item] = sha256(self._salt + told + path.read_bytes()).hexdigest()[:32]
        return self.folder / f"{self._names[item]}.safetensors"

    def _write(self, file: Path, medium: PreparedMedia, features: torch.Tensor) -> None:
        partial = file.with_name(f".{file.name}.{os.getpid()}")
        told = {"grid": medium.grid, "key": medium.key, "second_per_grid": medium.second_per_grid}
        save_file({"features": features.contiguous()}, partial, {"medium": json.dumps(told)})
        partial.rename(file)

    def _read(self, path: Path, fps: float | None, reference: bool) -> PreparedMedia:
        with safe_open(self._file(path, fps, reference), "pt") as opened:
            told, features = json.loads(opened.metadata()["medium"]), opened.get_tensor("features")
        return PreparedMedia(tuple(told["grid"]), features, told["key"], told["second_per_grid"])
