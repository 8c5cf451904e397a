"""No two public classes share a name."""

import ast
from collections import defaultdict

from tests.architecture.source import modules

# a wire message beside the type that it is decoded to; both docstrings say how they relate
WIRE_AND_DECODED = {
    "Video": {"identity_reward_client.messages", "reward_model.types"},
    "ReferenceSet": {"identity_reward_client.messages", "reward_model.types"},
}


def public_classes() -> dict[str, set[str]]:
    """Name -> the modules that define a class of that name at their top."""
    modules_by_class: dict[str, set[str]] = defaultdict(set)
    for module in modules().values():
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                modules_by_class[node.name].add(module.name)
    return modules_by_class


def test_public_classes_have_names_of_their_own():
    shared = {name: homes for name, homes in public_classes().items() if len(homes) > 1}
    unexpected = [name for name, homes in shared.items() if homes != WIRE_AND_DECODED.get(name)]
    assert not unexpected


def test_wire_messages_and_decoded_types_say_how_they_relate():
    silent = []
    for name, homes in WIRE_AND_DECODED.items():
        for home in homes & public_classes()[name]:
            [node] = [n for n in modules()[home].tree.body if isinstance(n, ast.ClassDef) and n.name == name]
            [other] = homes - {home}
            if other.rpartition(".")[2] not in (ast.get_docstring(node) or ""):
                silent.append(f"{home}.{name}")
    assert not silent
