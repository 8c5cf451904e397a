"""Earlier names in configurations. They are still read, so that old YAML files and runs keep working."""

from __future__ import annotations

from typing import Any

from ..errors import TrainingError

# earlier name -> name: of shipped configurations, of fields with their sections, and of the values of a field
CONFIGS = {"compact-heads": "compact-vision"}
FIELDS = {
    "data.harmed": "data.corrupted_share",
    "harm": "corruption",
    "supervision.failures": "supervision.corruptions",
}
VALUES = {"kind": {"heads": "vision-pretraining"}, "model.template": {"pictures": "images"}}


def current_value(key: str, value: Any) -> Any:
    """The value of the field `key`, or all values of a section, with current names.

    Raises TrainingError for a section that has a field under both of its names.
    """
    if isinstance(value, dict):
        return current_values(value, f"{key}.")
    return VALUES.get(key, {}).get(value, value) if isinstance(value, str) else value


def current_values(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """All values of the section `prefix`, such as "data.", with current names; errors as in `current_value`."""
    current: dict[str, Any] = {}
    for name, value in values.items():
        key = FIELDS.get(f"{prefix}{name}", f"{prefix}{name}")
        if key.removeprefix(prefix) in current:
            earlier = next(old for old, new in FIELDS.items() if new == key)
            raise TrainingError(f"{earlier} is an earlier name of {key}; give one of them")
        current[key.removeprefix(prefix)] = current_value(key, value)
    return current
