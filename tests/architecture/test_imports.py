"""Which package may import which, no circles between files or folders, and what only certain modules may import.

Every import counts: at the top of a file, inside a function, under TYPE_CHECKING, and modules that are named in a
string (scorers of the registry, names that a package loads on first use, `python -m`).

Circles are searched twice. Between files: no file may reach itself. Between siblings: in every folder the graph over
its direct children has no circle, where a file is a node and a subfolder as a whole is one node; a folder and the
files of its ancestors are no siblings, so `jobs/` may import `service/errors.py` and `service/app.py` may import
`jobs/`, but `errors.py` may then not import `jobs/`.
"""

import ast
import tomllib

import pytest

from tests.architecture.source import PACKAGES, circles, file_graph, module_of, modules, sibling_graphs
from tests.support.paths import ROOT

# package -> packages or modules of ours that it may import
ALLOWED = {
    "service": {"reward_model", "identity_reward_client"},
    "reward_model": {
        "frame_ops",
        "identity_reward_client.errors",
        "identity_reward_client.fields.warnings",
        "identity_reward_client.preference",
        "identity_reward_client.frame_sampling",
    },
    "trainer": {
        "identity_reward_client",
        "reward_model.training.loop",
        "reward_model.training.errors",
        "reward_model.training.configs.base",
        "reward_model.training.configs.files",
        "reward_model.data.seeding",
    },
    "identity_leaderboard": {"identity_reward_client"},
    "frame_ops": set(),
    "identity_reward_client": set(),
}
# (from, to): why an arrow that closes a circle is none
EXEMPT_ARROWS = {
    ("service.operations.supervisor", "service.app"): "the module is run in a process of its own, by `bentoml serve`",
}
ENVIRONMENT_READERS = {"service/settings/settings.py", "kernels/frame_ops/device.py"}
MAX_RELATIVE_LEVEL = 2

ALL = [pytest.param(module, id=name) for name, module in modules().items()]


@pytest.mark.parametrize("module", ALL)
def test_packages_import_only_those_below_them(module):
    allowed = ALLOWED[module.package]
    for imported in module.imports:
        package = imported.target.partition(".")[0]
        if package not in PACKAGES or package == module.package:
            continue
        assert any(imported.target == name or imported.target.startswith(f"{name}.") for name in allowed), (
            f"{module.relative_path}:{imported.line} imports {imported.target}; "
            f"{module.package} may import {sorted(allowed) or 'nothing of ours'}"
        )


@pytest.mark.parametrize("module", ALL)
def test_relative_imports_reach_at_most_one_parent(module):
    too_far = [imported for imported in module.imports if imported.level > MAX_RELATIVE_LEVEL]
    assert not too_far, f"{module.relative_path}: import these by their absolute name: {too_far}"


def without_exempt_arrows(graph: dict[str, set[str]]) -> dict[str, set[str]]:
    return {source: {t for t in targets if (source, t) not in EXEMPT_ARROWS} for source, targets in graph.items()}


def test_exempt_arrows_exist():
    graph = file_graph()
    assert all(target in graph[source] for source, target in EXEMPT_ARROWS)


def test_files_have_no_import_circles():
    assert not circles(without_exempt_arrows(file_graph()))


def test_sibling_folders_and_files_have_no_import_circles():
    graphs = sibling_graphs(without_exempt_arrows(file_graph()))
    assert not {package: found for package, graph in graphs.items() if (found := circles(graph))}


def test_entry_points_name_modules_of_their_own_distribution():
    distributions = {
        ROOT / "pyproject.toml": {"service", "reward_model", "trainer", "frame_ops"},
        ROOT / "clients/pyproject.toml": {"identity_reward_client", "identity_leaderboard"},
    }
    for path, packages in distributions.items():
        project = tomllib.loads(path.read_text())["project"]
        groups = [project.get("scripts", {}), *project.get("entry-points", {}).values()]
        for target in [target for group in groups for target in group.values()]:
            name, _, attribute = target.partition(":")
            assert module_of(name) == name, f"{path}: {target} is no module"
            assert name.partition(".")[0] in packages, f"{path}: {target} belongs to the other distribution"
            defined = {getattr(node, "name", None) for node in modules()[name].tree.body}
            assigned = {
                target.id
                for node in modules()[name].tree.body
                if isinstance(node, ast.Assign)
                for target in node.targets
                if isinstance(target, ast.Name)
            }
            assert attribute in defined | assigned, f"{path}: {name} defines no {attribute}"


@pytest.mark.parametrize("module", ALL)
def test_only_settings_and_device_read_the_environment(module):
    if module.relative_path not in ENVIRONMENT_READERS:
        attributes = {node.attr for node in ast.walk(module.tree) if isinstance(node, ast.Attribute)}
        names = {imported.target for imported in module.imports}
        assert not attributes & {"environ", "getenv"}, f"{module.relative_path} reads the environment"
        assert not names & {"os.environ", "os.getenv"}, f"{module.relative_path} reads the environment"


TORCH_FREE = ("service.app", "service.http", "service.grpc", "service.compat", "identity_reward_client")


@pytest.mark.parametrize(
    "module",
    [pytest.param(m, id=m.name) for m in modules().values() if m.name.startswith(TORCH_FREE)],
)
def test_transports_and_client_never_import_torch(module):
    assert not [
        imported for imported in module.imports if imported.target.partition(".")[0] in ("torch", "transformers")
    ]


@pytest.mark.parametrize("module", ALL)
def test_diffusers_is_imported_only_on_first_use(module):
    """It takes seconds: `trainer.policies.wan.components` imports it by name."""
    assert not [imported for imported in module.imports if imported.target.partition(".")[0] == "diffusers"]


@pytest.mark.parametrize("module", ALL)
def test_generated_protocol_code_is_imported_only_by_proto(module):
    if module.name.startswith("identity_reward_client.proto"):
        return
    generated = [
        i.target for i in module.imports if i.target.startswith("identity_reward_client") and "_pb2" in i.target
    ]
    assert not generated, f"{module.relative_path} imports {generated}; identity_reward_client/proto converts"


def test_source_roots_are_no_packages():
    assert not (ROOT / "kernels/__init__.py").exists()
    assert not (ROOT / "clients/__init__.py").exists()
