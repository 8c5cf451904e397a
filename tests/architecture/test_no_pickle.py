"""Never 2: nothing that could run code is read. What would unpickle is found in the source."""

import ast

import pytest

from tests.support.paths import ROOT

FOLDERS = ("service", "reward_model", "clients", "trainer", "kernels")
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "joblib",
    "jsonpickle",
    "pickletools",
}
# the class of errors that torch.load raises, not the module
NAMES = {("pickle", "UnpicklingError")}
CALLS = {"read_pickle", "unpickle"}


def found(tree: ast.AST) -> list[str]:
    """What in a module may unpickle, with its line."""
    return [f"line {node.lineno}: {what}" for node in ast.walk(tree) for what in _of(node)]


def _of(node: ast.AST):
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.split(".")[0] in MODULES)
    elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
        yield from (f"{node.module}.{one.name}" for one in node.names if (node.module, one.name) not in NAMES)
    elif isinstance(node, ast.Call):
        yield from _of_call(node)


def _of_call(node: ast.Call):
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    owner = getattr(node.func.value, "id", "") if isinstance(node.func, ast.Attribute) else ""
    given = {one.arg: getattr(one.value, "value", None) for one in node.keywords}
    if name in CALLS:
        yield name
    if (owner, name) == ("torch", "load") and given.get("weights_only") is not True:
        yield "torch.load without weights_only=True"
    if "allow_pickle" in given and given["allow_pickle"] is not False:
        yield "allow_pickle"
    if name == "import_module" or name == "__import__":
        yield from (one.value for one in node.args if isinstance(one, ast.Constant) and one.value in MODULES)
    if (owner, name) in (("yaml", "load"), ("yaml", "unsafe_load"), ("yaml", "full_load")):
        yield "yaml.load"
    # connections of multiprocessing unpickle what they receive
    if (owner, name) in (("multiprocessing", "Pipe"), ("multiprocessing", "Queue"), ("mp", "Pipe"), ("mp", "Queue")):
        yield f"{owner}.{name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_unpickles(path):
    assert not found(ast.parse(path.read_text()))


@pytest.mark.parametrize(
    "line",
    ["import pickle", "import cloudpickle as c", "from pickle import loads", "from dill import *", "import marshal",
     "torch.load(f)", "torch.load(f, weights_only=False)", "torch.load(f, weights_only=flag)",
     "np.load(f, allow_pickle=True)", "np.load(f, allow_pickle=x)", "pd.read_pickle(f)",
     "importlib.import_module('pickle')",
     "__import__('marshal')", "yaml.load(f)", "multiprocessing.Pipe()"],
)  # fmt: skip
def test_what_would_is_found(line):
    assert found(ast.parse(line))


def test_what_would_not_is_let_pass():
    assert not found(ast.parse("torch.load(f, weights_only=True)\nnp.load(f)\njson.load(f)\nload(f)"))
