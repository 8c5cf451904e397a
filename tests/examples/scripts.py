"""Loads the scripts of `examples/`, which are no package."""

import importlib.util
import json
import sys
from types import ModuleType

from tests.support.paths import ROOT

EXAMPLES = ROOT / "examples"
GROUPS = json.loads((EXAMPLES / "examples.json").read_text())["groups"]


def load_script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
