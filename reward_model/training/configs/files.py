"""YAML to a config and back: shipped ones by name, overrides of single fields, errors that name the nearest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from ..errors import TrainingError
from .preferences import FREE_TO_CHANGE, RunConfig

SHIPPED = Path(__file__).parent
DEFAULT_KIND = "reward"
# what a file's `kind` trains -> "module:class" of its config
KINDS = {
    "reward": "preferences:TrainConfig",
    "heads": "vision_pretraining:HeadsConfig",
    "face-tracks": "face_tracks:FaceTracksConfig",
}


def shipped() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.yaml")))


def read_config(name_or_path: str, overrides: Sequence[str] = (), data: Path | None = None) -> RunConfig:
    """`overrides`: KEY=VALUE, the key with dots, the value as YAML. `data`: a data set's folder, its files come first.
    TrainingError for all that isn't right."""
    path = Path(name_or_path)
    if name_or_path in shipped():
        path = SHIPPED / f"{name_or_path}.yaml"
    elif not path.is_file():
        raise TrainingError(f"{name_or_path} is no file and no shipped config; there are {', '.join(shipped())}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise TrainingError(f"{path} can't be read as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(values, dict):
        raise TrainingError(f"{path} holds a {type(values).__name__}; a config is a table of fields")
    files = config_type(values, str(path)).files_of(data) if data is not None else []
    for override in (*files, *overrides):
        _override(values, override)
    return parse_config(values, str(path))


def config_type(values: dict[str, Any], where: str) -> type[RunConfig]:
    kind = values.get("kind", DEFAULT_KIND)
    if kind not in KINDS:
        raise TrainingError(f"{where}: kind is {kind!r}; there are {', '.join(KINDS)}")
    module, _, name = KINDS[kind].partition(":")
    return getattr(import_module(f".{module}", __package__), name)


def parse_config(values: dict[str, Any], where: str) -> RunConfig:
    chosen = config_type(values, where)
    try:
        return chosen.model_validate(values)
    except ValidationError as error:
        raise TrainingError(f"{where}: {'; '.join(_explained(error, chosen))}") from None


def config_yaml(config: RunConfig) -> str:
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)


def flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """("data.clean", value) of every field."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def differences(old: RunConfig, new: RunConfig) -> list[str]:
    """What would make the rest of a run another run, one text for each field."""
    before, after = dict(flat(old.model_dump(mode="json"))), dict(flat(new.model_dump(mode="json")))
    keys = [*before, *(key for key in after if key not in before)]
    free = FREE_TO_CHANGE - ({"micro_batch"} if before.get("lora.dropout") or after.get("lora.dropout") else set())
    return [
        f"{key} was {before.get(key)!r} and is {after.get(key)!r}"
        for key in keys
        if key not in free and before.get(key) != after.get(key)
    ]


def _override(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise TrainingError(f"--set takes KEY=VALUE, such as learning_rates.vision=1e-5; got {override!r}")
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise TrainingError(f"--set {key}: {text!r} is no YAML value") from None
    *path, last = key.split(".")
    for part in path:
        if values.get(part) is None:
            values[part] = {}
        values = values[part]
        if not isinstance(values, dict):
            raise TrainingError(f"--set {key}: {part} is no section")
    values[last] = value


def _explained(error: ValidationError, chosen: type[BaseModel]) -> Iterator[str]:
    for fault in error.errors(include_url=False):
        place = [str(part) for part in fault["loc"]]
        if fault["type"] == "extra_forbidden":
            known = list(_section(chosen, place[:-1]).model_fields)
            near = get_close_matches(place[-1], known, 1, 0.5)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            yield f"{'.'.join(place)} is no field; {hint}"
        elif fault["type"] == "value_error":
            yield fault["msg"].removeprefix("Value error, ")
        else:
            yield f"{'.'.join(place)}: {fault['msg']}, got {fault['input']!r}"


def _section(model: type[BaseModel], place: Sequence[str]) -> type[BaseModel]:
    """Of a field's place; numbers in it are those of a list's entries."""
    for part in place:
        if part.isdecimal():
            continue
        annotation: Any = model.model_fields[part].annotation
        parts = getattr(annotation, "__args__", (annotation,))
        model = next(one for one in parts if isinstance(one, type) and issubclass(one, BaseModel))
    return model
