"""Reading and writing of configurations as YAML: shipped files by name, overrides, and one-line errors by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from ..errors import TrainingError
from .base import RunConfig
from .face_tracks import FaceTracksConfig
from .preferences import PreferenceTrainingConfig
from .renamed import CONFIGS, FIELDS, current_value, current_values
from .vision_pretraining import VisionPretrainingConfig

SHIPPED = Path(__file__).parent
DEFAULT_KIND = "reward"
# `kind` of a file -> its configuration
KINDS: dict[str, type[RunConfig]] = {
    "reward": PreferenceTrainingConfig,
    "vision-pretraining": VisionPretrainingConfig,
    "face-tracks": FaceTracksConfig,
}


def shipped(folder: Path = SHIPPED) -> tuple[str, ...]:
    """Names of the configurations that ship in a folder of a package, sorted."""
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def read_config(
    name_or_path: str,
    overrides: Sequence[str] = (),
    data: Path | None = None,
    kinds: Mapping[str, type[RunConfig]] = KINDS,
    folder: Path = SHIPPED,
) -> RunConfig:
    """A configuration that ships in `folder` or a YAML file, with overrides applied.

    `overrides` are KEY=VALUE, the key dotted, the value YAML. `data` is the folder of a data set; its files are applied
    before `overrides`. `kinds` has the class of each `kind`, that of a file without one first. Earlier names of files,
    fields and values (`renamed.py`) are read too. Raises TrainingError for a file, a key or a value that is not valid.
    """
    name, path = CONFIGS.get(name_or_path, name_or_path), Path(name_or_path)
    if name in shipped(folder):
        path = folder / f"{name}.yaml"
    elif not path.is_file():
        raise TrainingError(f"{name_or_path} is no file and no shipped config; there are {', '.join(shipped(folder))}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise TrainingError(f"{path} can't be read as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise TrainingError(f"{path} holds a {type(values).__name__}; a config is a table of fields")
    values = current_values(values)
    files = config_type(values, str(path), kinds).data_overrides(data) if data is not None else []
    for override in (*files, *overrides):
        _apply(values, override)
    return parse_config(values, str(path), kinds)


def config_type(values: dict[str, Any], source: str, kinds: Mapping[str, type[RunConfig]] = KINDS) -> type[RunConfig]:
    """The class that the `kind` of `values` names. `source` is the file, for the TrainingError of an unknown kind."""
    kind = values.get("kind", next(iter(kinds)))
    if kind not in kinds:
        raise TrainingError(f"{source}: kind is {kind!r}; there are {', '.join(kinds)}")
    return kinds[kind]


def parse_config(values: dict[str, Any], source: str, kinds: Mapping[str, type[RunConfig]] = KINDS) -> RunConfig:
    """Validates `values`; raises one TrainingError that lists every field that is wrong."""
    chosen = config_type(values, source, kinds)
    try:
        return chosen.model_validate(values)
    except ValidationError as error:
        raise TrainingError(f"{source}: {'; '.join(_messages(error, chosen))}") from None


def config_yaml(config: RunConfig) -> str:
    """The configuration with all its defaults, as YAML that `read_config` reads back."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of every field, such as ("data.clean", "train.jsonl")."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def differences(old: RunConfig, new: RunConfig) -> list[str]:
    """Descriptions of the fields that differ and that change what is learned."""
    before, after = dict(flat(old.model_dump(mode="json"))), dict(flat(new.model_dump(mode="json")))
    keys = [*before, *(key for key in after if key not in before)]
    free = new.free_to_change - ({"micro_batch"} if before.get("lora.dropout") or after.get("lora.dropout") else set())
    return [
        f"{key} was {before.get(key)!r} and is {after.get(key)!r}"
        for key in keys
        if key not in free and before.get(key) != after.get(key)
    ]


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise TrainingError(f"--set takes KEY=VALUE, such as learning_rates.vision=1e-5; got {override!r}")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise TrainingError(f"--set {key}: {text!r} is no YAML value") from None
    key = FIELDS.get(key, key)
    *path, last = key.split(".")
    for part in path:
        if values.get(part) is None:
            values[part] = {}
        values = values[part]
        if not isinstance(values, dict):
            raise TrainingError(f"--set {key}: {part} is no section")
    values[last] = current_value(key, value)


def _messages(error: ValidationError, chosen: type[BaseModel]) -> Iterator[str]:
    for problem in error.errors(include_url=False):
        path = [str(part) for part in problem["loc"]]
        if problem["type"] == "extra_forbidden":
            fields = list(_section(chosen, path[:-1]).model_fields)
            near = get_close_matches(path[-1], fields, 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(fields)}"
            yield f"{'.'.join(path)} is no field; {hint}"
        elif problem["type"] == "value_error":
            yield problem["msg"].removeprefix("Value error, ")
        else:
            yield f"{'.'.join(path)}: {problem['msg']}, got {problem['input']!r}"


def _section(model: type[BaseModel], path: Sequence[str]) -> type[BaseModel]:
    """The section at the path of a field; numbers in the path are indices of a list."""
    for part in path:
        if part.isdecimal():
            continue
        annotation: Any = model.model_fields[part].annotation
        candidates = getattr(annotation, "__args__", (annotation,))
        model = next(entry for entry in candidates if isinstance(entry, type) and issubclass(entry, BaseModel))
    return model
