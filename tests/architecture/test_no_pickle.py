"""Nothing unpickles: the source is searched for calls and imports that would."""

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


def unpickling(tree: ast.AST) -> list[str]:
    """Imports and calls of a module that may unpickle, with their lines."""
    return [f"line {node.lineno}: {name}" for node in ast.walk(tree) for name in _unpickling_node(node)]


def _unpickling_node(node: ast.AST):
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.split(".")[0] in MODULES)
    elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
        yield from (f"{node.module}.{alias.name}" for alias in node.names if (node.module, alias.name) not in NAMES)
    elif isinstance(node, ast.Call):
        yield from _unpickling_call(node)


def _unpickling_call(node: ast.Call):
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    owner = getattr(node.func.value, "id", "") if isinstance(node.func, ast.Attribute) else ""
    keywords = {keyword.arg: getattr(keyword.value, "value", None) for keyword in node.keywords}
    if name in CALLS:
        yield name
    if (owner, name) == ("torch", "load") and keywords.get("weights_only") is not True:
        yield "torch.load without weights_only=True"
    if "allow_pickle" in keywords and keywords["allow_pickle"] is not False:
        yield "allow_pickle"
    if name in ("import_module", "__import__"):
        yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant) and arg.value in MODULES)
    if (owner, name) in (("yaml", "load"), ("yaml", "unsafe_load"), ("yaml", "full_load")):
        yield "yaml.load"
    # connections of multiprocessing unpickle what they receive
    if (owner, name) in (("multiprocessing", "Pipe"), ("multiprocessing", "Queue"), ("mp", "Pipe"), ("mp", "Queue")):
        yield f"{owner}.{name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_unpickles(path):
    assert not unpickling(ast.parse(path.read_text()))


@pytest.mark.parametrize(
    "line",
    ["import pickle", "import cloudpickle as c", "from pickle import loads", "from dill import *", "import marshal",
     "torch.load(f)", "torch.load(f, weights_only=False)", "torch.load(f, weights_only=flag)",
     "np.load(f, allow_pickle=True)", "np.load(f, allow_pickle=x)", "pd.read_pickle(f)",
     "importlib.import_module('pickle')",
     "__import__('marshal')", "yaml.load(f)", "multiprocessing.Pipe()"],
)  # fmt: skip
def test_code_that_unpickles_is_noticed(line):
    assert unpickling(ast.parse(line))


def test_code_that_does_not_unpickle_is_let_pass():
    assert not unpickling(ast.parse("torch.load(f, weights_only=True)\nnp.load(f)\njson.load(f)\nload(f)"))
