"""The floors of docs/architecture.md: which package may import which, no circles, and rooms that stay small."""

import ast
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "service": ROOT / "service",
    "reward_model": ROOT / "reward_model",
    "trainer": ROOT / "trainer",
    "frame_ops": ROOT / "kernels/frame_ops",
    "identity_reward_client": ROOT / "clients/identity_reward_client",
    "identity_leaderboard": ROOT / "clients/identity_leaderboard",
}
ALLOWED = {
    "service": {"reward_model", "identity_reward_client"},
    "reward_model": {
        "frame_ops",
        "identity_reward_client.errors",
        "identity_reward_client.preference",
        "identity_reward_client.frame_sampling",
    },
    "trainer": {"identity_reward_client"},
    "identity_leaderboard": {"identity_reward_client"},
    "frame_ops": set(),
    "identity_reward_client": set(),
}
# never 6: who may read the environment
ENVIRONMENT_READERS = {"service/settings/settings.py", "kernels/frame_ops/device.py"}


def modules():
    for package, folder in PACKAGES.items():
        for path in sorted(folder.rglob("*.py")):
            dotted = ".".join((package, *path.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__")
            yield dotted, path


def imports(module: str, path: Path):
    """(what is imported, whether at module level) with relative imports made absolute."""
    tree = ast.parse(path.read_text())
    top = {id(node) for node in ast.walk(tree)} - {
        id(inner)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for inner in ast.walk(function)
    }
    parent = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, id(node) in top
        elif isinstance(node, ast.ImportFrom):
            base = parent[: len(parent) - node.level + 1] if node.level else []
            origin = ".".join([*base, *((node.module or "").split(".") if node.module else [])])
            for alias in node.names:
                yield f"{origin}.{alias.name}", id(node) in top


def ours(name: str) -> str | None:
    package = name.split(".")[0]
    return package if package in PACKAGES else None


@pytest.mark.parametrize(("module", "path"), list(modules()))
def test_only_the_allowed_arrows(module, path):
    mine = module.split(".")[0]
    for name, _ in imports(module, path):
        if ours(name) in (None, mine):
            continue
        assert any(name == okay or name.startswith(okay + ".") for okay in ALLOWED[mine]), (
            f"{path.relative_to(ROOT)} imports {name}; {mine} may import {sorted(ALLOWED[mine]) or 'nothing of ours'}"
        )


def test_no_circles_at_import_time():
    known = dict(modules())
    arrows = defaultdict(set)
    for module, path in known.items():
        for name, top in imports(module, path):
            target = next((t for t in (name, name.rpartition(".")[0]) if t in known), None)
            if top and target and target != module:
                arrows[module].add(target)
    state: dict[str, int] = {}

    def visit(module, trail):
        if state.get(module) == 2:
            return
        assert state.get(module) != 1, f"circle: {' -> '.join([*trail[trail.index(module) :], module])}"
        state[module] = 1
        for target in sorted(arrows[module]):
            visit(target, [*trail, module])
        state[module] = 2

    for module in known:
        visit(module, [])


def test_only_settings_and_device_read_the_environment():
    for _, path in modules():
        place = str(path.relative_to(ROOT))
        if place not in ENVIRONMENT_READERS:
            names = {n.attr for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)}
            assert not names & {"environ", "getenv"}, f"{place} reads the environment"


def test_transports_never_touch_torch():
    for name in ("app.py", "http/routes.py", "grpc/server.py"):
        path = ROOT / "service" / name
        if path.exists():
            assert not any(i.split(".")[0] == "torch" for i, _ in imports(f"service.{path.stem}", path)), name


def test_source_roots_are_no_packages():
    assert not (ROOT / "kernels/__init__.py").exists()
    assert not (ROOT / "clients/__init__.py").exists()


def test_rooms_stay_small():
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    sizes = {
        name: len((ROOT / name).read_text().splitlines())
        for name in listed.split()
        if not name.startswith("tests/") and "_pb2" not in name and (ROOT / name).exists()
    }
    assert not {name: n for name, n in sizes.items() if n > 300}
    assert sorted(sizes.values())[len(sizes) // 2] < 120
