"""Settings of a server process, in nested groups. The only module of this package that reads the environment."""

from __future__ import annotations

import os
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from .groups import (
    PREFIX,
    AuthSettings,
    GrpcSettings,
    InferenceSettings,
    JobSettings,
    MediaSettings,
    OperationsSettings,
    RequestSettings,
    SchedulingSettings,
    SettingsGroup,
    UrlSettings,
)


class SettingsError(ValueError):
    """One line that names the wrong setting and what it takes."""


class Settings(BaseModel):
    """Settings of one server. Fields that aren't given come from `IDENTITY_REWARD_*` variables, then from defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inference: InferenceSettings = Field(default_factory=InferenceSettings.read)
    scheduling: SchedulingSettings = Field(default_factory=SchedulingSettings.read)
    requests: RequestSettings = Field(default_factory=RequestSettings.read)
    media: MediaSettings = Field(default_factory=MediaSettings.read)
    urls: UrlSettings = Field(default_factory=UrlSettings.read)
    jobs: JobSettings = Field(default_factory=JobSettings.read)
    grpc: GrpcSettings = Field(default_factory=GrpcSettings.read)
    auth: AuthSettings = Field(default_factory=AuthSettings.read)
    operations: OperationsSettings = Field(default_factory=OperationsSettings.read)

    @classmethod
    def load(cls, **groups: dict[str, Any]) -> Settings:
        """The environment's settings with these fields over them, as in `load(grpc={"port": 0})`.

        Raises SettingsError for a bad value and for a misspelt variable.
        """
        _check_spelling()
        try:
            return cls.model_validate({name: {} for name in cls.model_fields} | groups)
        except ValidationError as error:
            raise SettingsError(_explain(error, groups)) from None

    def replace(self, group: str, **fields: Any) -> Settings:
        """A copy with these fields of one group changed, without validation."""
        return self.model_copy(update={group: getattr(self, group).model_copy(update=fields)})

    @classmethod
    def variables(cls) -> dict[str, tuple[str, str, FieldInfo]]:
        """Group, field and description of every setting, by its environment variable."""
        return {
            variable(group, name): (key, name, field)
            for key, group in _GROUPS.items()
            for name, field in group.model_fields.items()
        }

    @staticmethod
    def forbid_respawn() -> None:
        """Make BentoML's supervisor end with its worker, as it does in an image, instead of respawning it for ever.

        BentoML reads the variable just before it starts the worker, after it has imported the service.
        """
        os.environ.setdefault("BENTOML_CONTAINERIZED", "1")

    def environment(self) -> dict[str, str]:
        """This process's environment with these settings in it, for a server process that it starts."""
        variables = self.variables()
        ours = {
            name: ",".join(value) if isinstance(value, tuple) else str(value)
            for name, (group, field, _) in variables.items()
            if (value := getattr(getattr(self, group), field)) is not None
        }
        others = {name: value for name, value in os.environ.items() if name.upper() not in variables}
        return {**others, **ours}


_GROUPS: dict[str, type[SettingsGroup]] = {
    name: field.annotation
    for name, field in Settings.model_fields.items()
    if isinstance(field.annotation, type) and issubclass(field.annotation, SettingsGroup)
}


def variable(group: type[SettingsGroup], field: str) -> str:
    """The environment variable of a field."""
    return f"{group.model_config.get('env_prefix', PREFIX)}{field.upper()}"


def _check_spelling() -> None:
    names = {name.removeprefix(PREFIX): name for name in Settings.variables()}
    for env_name in os.environ:
        name = env_name.removeprefix(PREFIX).upper()
        if not env_name.startswith(PREFIX) or name in names:
            continue
        if matches := get_close_matches(name, names, 1, cutoff=0.8):
            raise SettingsError(f"{env_name} is not a setting; did you mean {names[matches[0]]}?")


def _explain(error: ValidationError, groups: dict[str, dict[str, Any]]) -> str:
    """One line about the first of the errors."""
    first = error.errors(include_url=False)[0]
    reason = first["msg"].removeprefix("Value error, ")
    if len(first["loc"]) < 2:
        return reason
    group, field = map(str, first["loc"][:2])
    name = variable(_GROUPS[group], field)
    value = groups.get(group, {}).get(field, os.environ.get(name, first["input"]))
    return f"{name.removeprefix(PREFIX).lower()} = {str(value)[:80]!r}: {reason} ({name})"
