"""torchvision, which only tests and benchmarks need, as a reference for pixels.

Its published wheel is built for CUDA, and beside a torch for the CPU its import fails: it describes operators that are
not there. So it lives in a folder of its own, never in site-packages (transformers would choose other processors
wherever it is installed), and a process that needs it, one that tests nothing else, calls `use_torchvision` first.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".venv" / "anchors"
INSTALL = f"python -m pip install --no-deps --target {FOLDER} torchvision==0.28.0"
# torch keeps a library's operators as long as the object lives
_libraries: list = []


def torchvision_found() -> bool:
    return find_spec("torchvision") is not None or (FOLDER / "torchvision").is_dir()


def use_torchvision() -> None:
    """Makes `import torchvision` work in this process. ImportError, saying how to install it, where it is nowhere."""
    if find_spec("torchvision") is not None:
        return
    if not (FOLDER / "torchvision").is_dir():
        raise ImportError(f"torchvision is the anchor of these pixels and is not here; {INSTALL}")
    import torch

    library = torch.library.Library("torchvision", "DEF")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _libraries.append(library)
    sys.path.append(str(FOLDER))
