"""Reads the prompt template from the source of a user's copy of the upstream repository.

The file is parsed, never run: strings assigned to names, and the conditions in `build_prompt` that map a template type
to one of these strings and to the values of its placeholders.
"""

from __future__ import annotations

import ast
import re
import string
from pathlib import Path
from typing import Any

from ..config import Piece, PromptTemplate
from ..folder import CheckpointError
from ..qwen.prompt import conversation

# paths in the releases; other copies are found by name
_PATHS = ("vace_reward/prompt_template.py", "prompt_template.py", "flow_grpo/prompt_template.py")
_REWARD_TOKEN = re.compile(r"(<\|\w+_reward\|>)")


def read_template(upstream: Path, key: str, dimensions: list[str], vision_ids: bool = False) -> PromptTemplate:
    """The template that `build_prompt` returns for template type `key`, after the references and the video.

    `dimensions`: the settings' `eval_dim`. CheckpointError when the source or the template is not of the known form.
    """
    path = _find(upstream)
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} can't be parsed: {error}") from None
    text, fields = _returned_text(tree, key, path)
    pieces: list[Piece] = []
    for literal, field, *_ in string.Formatter().parse(text) if fields is not None else [(text, None)]:
        pieces += _split_rewards(literal)
        if field is not None:
            pieces.append(_placeholder(tree, field, (fields or {}).get(field), dimensions, path))
    if not any(piece.kind == "reward" for piece in pieces):
        raise CheckpointError(f"template {key!r} of {path} has no reward token; rewards can't be read at one")
    return PromptTemplate(key, conversation([Piece("references"), Piece("video"), *pieces]), vision_ids)


def _find(upstream: Path) -> Path:
    paths = [upstream / path for path in _PATHS if (upstream / path).is_file()]
    if upstream.is_file():
        paths = [upstream]
    paths = paths or sorted(upstream.rglob("prompt_template.py"))
    if not paths:
        raise CheckpointError(f"{upstream} holds no prompt_template.py; give a checkout of the upstream repository")
    return paths[0]


def _constants(tree: ast.Module) -> dict[str, Any]:
    """Literals assigned to names at module level; the last assignment of a name counts."""
    values = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            try:
                values[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return values


def _returned_text(tree: ast.Module, key: str, path: Path) -> tuple[str, dict[str, ast.expr] | None]:
    """(text, the keyword arguments of its `.format` call; None where the text is returned unchanged)."""
    function = next((n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "build_prompt"), None)
    if function is None:
        raise CheckpointError(f"{path} has no function build_prompt")
    returned = {}
    for node in ast.walk(function):
        match node:
            case ast.If(test=ast.Compare(comparators=[ast.Constant(value=str(name))]), body=[ast.Return(value=value)]):
                returned[name] = value
    if key not in returned:
        raise CheckpointError(f"{path} has no template {key!r}; it has {', '.join(sorted(returned)) or 'none'}")
    texts = _constants(tree)
    match returned[key]:
        case ast.Name(id=name) if isinstance(texts.get(name), str):
            return texts[name], None
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="format"), args=[], keywords=keywords) if (
            isinstance(texts.get(name), str)
        ):
            return texts[name], {keyword.arg: keyword.value for keyword in keywords if keyword.arg}
    raise CheckpointError(f"{path}: template {key!r} isn't a constant text, or one filled in by name")


def _split_rewards(text: str) -> list[Piece]:
    parts = [part for part in _REWARD_TOKEN.split(text) if part]
    return [Piece("reward" if _REWARD_TOKEN.fullmatch(part) else "text", part) for part in parts]


def _placeholder(tree: ast.Module, field: str, value: ast.expr | None, dimensions: list[str], path: Path) -> Piece:
    match value:
        case ast.Name(id="prompt"):
            return Piece("prompt")
        case ast.Name(id="dimension_name" | "dimension_description" as which):
            described = _constants(tree).get("DIMENSION_DESCRIPTIONS", {})
            if len(dimensions) == 1 and dimensions[0] in described:
                return Piece("text", described[dimensions[0]][which == "dimension_description"])
    raise CheckpointError(f"{path}: don't know what is filled in for {{{field}}}")
