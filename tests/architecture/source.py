"""The source tree as data: modules, their imports, and the graph between files or folders."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from tests.support.paths import ROOT

PACKAGES = {
    "service": ROOT / "service",
    "reward_model": ROOT / "reward_model",
    "trainer": ROOT / "trainer",
    "frame_ops": ROOT / "kernels/frame_ops",
    "identity_reward_client": ROOT / "clients/identity_reward_client",
    "identity_leaderboard": ROOT / "clients/identity_leaderboard",
}
# "package.module" or "package.module:attribute": a module that is imported, or run with `python -m`, by its name
MODULE_STRING = re.compile(rf"(?:{'|'.join(PACKAGES)})(?:\.\w+)*(?::\w+)?")


@dataclass(frozen=True)
class Import:
    """One import. `target` is a dotted name: a module, or a name inside a module."""

    target: str
    line: int
    level: int = 0


@dataclass(frozen=True)
class Module:
    name: str
    path: Path

    @property
    def relative_path(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def package(self) -> str:
        """The top-level package."""
        return self.name.partition(".")[0]

    @property
    def is_package(self) -> bool:
        return self.path.name == "__init__.py"

    @property
    def parent(self) -> str:
        """The package that relative imports start from."""
        return self.name if self.is_package else self.name.rpartition(".")[0]

    @cached_property
    def text(self) -> str:
        return self.path.read_text()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def imports(self) -> list[Import]:
        """Every import: at the top, in functions, under TYPE_CHECKING, and modules that are named in strings."""
        return [imported for node in ast.walk(self.tree) for imported in self._imports_of(node)]

    def _imports_of(self, node: ast.AST) -> Iterator[Import]:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            origin = self._absolute(node.module or "", node.level)
            for alias in node.names:
                yield Import(f"{origin}.{alias.name}", node.lineno, node.level)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from self._imports_of_string(node.value, node.lineno)

    def _imports_of_string(self, text: str, line: int) -> Iterator[Import]:
        if MODULE_STRING.fullmatch(text):
            yield Import(text.replace(":", "."), line)
        elif self.is_package and re.fullmatch(r"\w+(\.\w+)*", text) and f"{self.name}.{text}" in modules():
            yield Import(f"{self.name}.{text}", line)  # names that a package loads on first use

    def _absolute(self, module: str, level: int) -> str:
        if not level:
            return module
        base = self.parent.split(".")
        return ".".join([*base[: len(base) - level + 1], *filter(None, [module])])

    @cached_property
    def imported_modules(self) -> set[str]:
        """Modules of this repository that this one imports."""
        return {target for imported in self.imports if (target := module_of(imported.target))} - {self.name}

    @cached_property
    def has_logic(self) -> bool:
        """Whether a function does anything; protocols and data classes alone need no test."""
        return any(_does_something(node) for node in ast.walk(self.tree))


def _does_something(node: ast.AST) -> bool:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return False
    return not all(
        isinstance(statement, ast.Pass | ast.Raise)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for statement in node.body
    )


@cache
def modules() -> dict[str, Module]:
    """By dotted name, without what protoc generates."""
    by_name = {}
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            if "_pb2" in path.name:
                continue
            name = ".".join((package, *path.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__")
            by_name[name] = Module(name, path)
    return by_name


def module_of(name: str) -> str | None:
    """The module of a dotted name: itself or its longest prefix that is a module; None for third-party names."""
    while name:
        if name in modules():
            return name
        name = name.rpartition(".")[0]
    return None


def file_graph() -> dict[str, set[str]]:
    return {name: module.imported_modules for name, module in modules().items()}


def sibling_graphs(graph: dict[str, set[str]]) -> dict[str, dict[str, set[str]]]:
    """For every package the graph between its direct children: a file is a node, and so is a whole subpackage.

    Imports of the package itself (its `__init__`) are no arrows here, nor are those between a folder and its ancestors.
    """
    graphs: dict[str, dict[str, set[str]]] = {}
    for source, targets in graph.items():
        for target in targets:
            parts = list(zip(source.split("."), target.split("."), strict=False))
            depth = next((i for i, (a, b) in enumerate(parts) if a != b), None)
            if not depth:  # one is an ancestor of the other, or they are of two top-level packages
                continue
            package = ".".join(source.split(".")[:depth])
            graphs.setdefault(package, {}).setdefault(source.split(".")[depth], set()).add(target.split(".")[depth])
    return graphs


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Strongly connected components of more than one node (Tarjan), each sorted."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    components: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for target in sorted(graph.get(node, ())):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in stack:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            component = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(component) > 1:
                components.append(sorted(component))

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return components
