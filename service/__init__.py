"""The inference server: HTTP and gRPC transports around a batching scoring engine."""

import sys
from pathlib import Path

# In a built Bento these packages are not installed, and no PYTHONPATH reaches it.
for _root in ("clients", "kernels"):
    _path = str(Path(__file__).resolve().parent.parent / _root)
    if Path(_path).is_dir() and _path not in sys.path:
        sys.path.append(_path)
