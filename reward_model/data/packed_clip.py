"""Packed clips: the frames of one frame sampling, uncompressed, at the size that a model sees or larger.

A `.safetensors` file with one tensor `frames` [T, H, W, 3] uint8 RGB and, as metadata, `fps` and `num_source_frames`
of the source clip and `frame_indices` (a JSON list of T numbers), the frames' indices in that clip.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from identity_reward_client.errors import InvalidMedia

from ..types import Video

SUFFIX = ".safetensors"


def write_packed(path: Path, video: Video) -> None:
    """Writes atomically; equal clips give equal bytes. ValueError for frames that are no clip."""
    frames = video.frames_THWC
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
        raise ValueError(f"frames are uint8 [T, H, W, 3] with T >= 1, got {frames.dtype} {frames.shape}")
    if len(video.frame_indices) != len(frames):
        raise ValueError(f"{len(frames)} frames with {len(video.frame_indices)} frame indices")
    path = Path(path)
    partial = path.with_name(f".{path.name}.writing")
    metadata = {
        "fps": repr(float(video.fps)),
        "num_source_frames": str(video.num_source_frames),
        "frame_indices": json.dumps([int(i) for i in video.frame_indices]),
    }
    tensor = {"dtype": "U8", "shape": list(frames.shape), "data_offsets": [0, frames.nbytes]}
    # not by the library, which writes metadata in another order in each process: equal clips have to be equal files
    header = json.dumps({"__metadata__": metadata, "frames": tensor}, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    partial.write_bytes(len(header).to_bytes(8, "little") + header + np.ascontiguousarray(frames).tobytes())
    os.replace(partial, path)


def read_packed(path: Path) -> Video:
    """InvalidMedia for a file that is no packed clip; FileNotFoundError for no file."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no packed clip at {path}")
    try:
        with safe_open(path, "numpy") as file:
            metadata, names = file.metadata() or {}, list(file.keys())
            if names != ["frames"]:
                raise InvalidMedia(f"{path} holds {names or 'no tensors'}; a packed clip holds the tensor 'frames'")
            frames = file.get_tensor("frames")
        fps, count = float(metadata["fps"]), int(metadata["num_source_frames"])
        indices = tuple(int(i) for i in json.loads(metadata["frame_indices"]))
    except SafetensorError as error:
        raise InvalidMedia(f"{path} is no whole safetensors file: {error}") from None
    except (KeyError, ValueError, TypeError) as error:
        raise InvalidMedia(f"{path}: a packed clip states fps, num_source_frames and frame_indices; {error}") from None
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
        raise InvalidMedia(f"{path}: frames are {frames.dtype} {frames.shape}; a packed clip's are uint8 [T, H, W, 3]")
    if len(indices) != len(frames) or not all(0 <= i < count for i in indices) or not 0 < fps < float("inf"):
        raise InvalidMedia(f"{path}: {len(frames)} frames numbered {indices} of {count} at {fps} fps don't go together")
    return Video(frames, fps, count, indices)
