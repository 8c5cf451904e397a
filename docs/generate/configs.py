"""Fields of the training configurations as Markdown. A field's meaning is its description or the comment above it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from reward_model.training.configs import files as config_files
from trainer.config import SHIPPED as GRPO_SHIPPED
from trainer.config import GrpoConfig
from trainer.policies.wan.phantom import PhantomOptions
from trainer.policies.wan.vace import VaceOptions

from .markdown import plain, table

_FIELD = re.compile(r"    (\w+): ")
_COMMENT = re.compile(r"    # ?(.*)")


# `kind` of a file -> its configuration; `vace` and `phantom` are the options of policies
KINDS: dict[str, type[BaseModel]] = {
    **config_files.KINDS,
    "grpo": GrpoConfig,
    "vace": VaceOptions,
    "phantom": PhantomOptions,
}


def fields(kind: str) -> str:
    rows = [
        (f"`{name}`", default, plain(meaning)) for name, default, meaning in _fields(KINDS[kind], "") if name != "kind"
    ]
    return table(("field", "default", "meaning"), rows)


def _fields(config: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str]]:
    comments = _comments(config)
    for name, field in config.model_fields.items():
        section = _section(field.annotation)
        default = field.get_default(call_default_factory=True) if not field.is_required() else PydanticUndefined
        meaning = field.description or comments.get(name, "")
        if section is None:
            yield f"{prefix}{name}", _shown(default), meaning
            continue
        listed = "[]" if not isinstance(default, BaseModel) and default is not None else ""
        if default is None or listed:
            summary = inspect.cleandoc(section.__doc__ or "").split("\n\n")[0]
            yield f"{prefix}{name}", _shown_sections(default), meaning or summary
        yield from _fields(section, f"{prefix}{name}{listed}.")


def _section(annotation: Any) -> type[BaseModel] | None:
    """The nested section of a field, also of an optional one or of a list of them."""
    options = (annotation, *getattr(annotation, "__args__", ()))
    return next((option for option in options if inspect.isclass(option) and issubclass(option, BaseModel)), None)


def _comments(config: type[BaseModel]) -> dict[str, str]:
    """The comment above each field, of the class and of those that it inherits from."""
    comments: dict[str, str] = {}
    for cls in config.__mro__:
        if cls is BaseModel or not issubclass(cls, BaseModel):
            break
        block: list[str] = []
        for line in inspect.getsource(cls).splitlines():
            if comment := _COMMENT.fullmatch(line):
                block.append(comment[1])
                continue
            if field := _FIELD.match(line):
                comments.setdefault(field[1], " ".join(block))
            block = []
    return comments


def _shown_sections(default: Any) -> str:
    """The default of an optional section or of a list of sections."""
    if not isinstance(default, tuple) or not default:
        return "unset" if default is None else "none"
    return _shown([section.model_dump(exclude_unset=True) for section in default])


def _shown(default: Any) -> str:
    if default is PydanticUndefined:
        return "required"
    if default is None:
        return "unset"
    value = list(default) if isinstance(default, tuple) else default
    text = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000)
    return f"`{text.removesuffix('...' + chr(10)).strip()}`"


def shipped_grpo() -> str:
    """Name and the first comment of every configuration of a GRPO run that ships."""
    names = config_files.shipped(GRPO_SHIPPED)
    rows = [(f"`{name}`", plain(_summary((GRPO_SHIPPED / f"{name}.yaml").read_text()))) for name in names]
    return table(("configuration", "what it trains"), rows)


def shipped() -> str:
    """Name, kind and the first comment of every configuration that ships."""
    rows = []
    for name in config_files.shipped():
        text = (config_files.SHIPPED / f"{name}.yaml").read_text()
        kind = yaml.safe_load(text).get("kind", config_files.DEFAULT_KIND)
        rows.append((f"`{name}`", f"`{kind}`", plain(_summary(text))))
    return table(("configuration", "kind", "what it trains"), rows)


def _summary(text: str) -> str:
    """The comment at the top of a YAML file, without its command lines."""
    lines: list[str] = []
    for line in text.splitlines():
        if not line.startswith("# ") or line.startswith("#   "):
            break
        lines.append(line[2:])
    return " ".join(lines)
