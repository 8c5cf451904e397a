"""Settings by the names of their environment variables, as the tests give them."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from service.settings.groups import PREFIX
from service.settings.settings import Settings


def flat_settings(**values: Any) -> Settings:
    """`flat_settings(max_body_bytes=77)` sets the field that IDENTITY_REWARD_MAX_BODY_BYTES sets."""
    groups: dict[str, dict[str, Any]] = defaultdict(dict)
    for name, value in values.items():
        group, field, _ = Settings.variables()[PREFIX + name.upper()]
        groups[group][field] = value
    return Settings.load(**groups)


def settings_from(environment: Mapping[str, str]) -> Settings:
    """The settings of a server that is started with these variables; raises KeyError where one names no setting."""
    ours = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    return flat_settings(**{name.removeprefix(PREFIX).lower(): value for name, value in ours.items()})
