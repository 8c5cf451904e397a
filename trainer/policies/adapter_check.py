"""Whether the folder of an adapter fits a configuration, found out before the policy is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..errors import PolicyError
from .adapters import DIFFUSERS_WEIGHTS, WEIGHTS, read_adapter, require_alpha

_A = ".lora_A.weight"
_SHOWN = 5


def check_adapter(folder: Path, rank: int, alpha: float, layers: Mapping[str, tuple[int, int]] | None = None) -> None:
    """PolicyError for a folder without an adapter, and for one of another rank, another alpha or another model.

    `layers` has the policy's adapted layers by name, with the numbers of their inputs and outputs; None: unknown.
    """
    if not any((folder / name).is_file() for name in (WEIGHTS, DIFFUSERS_WEIGHTS)):
        raise PolicyError(f"{folder} has no {WEIGHTS} and no {DIFFUSERS_WEIGHTS}; a run writes them to RUN/model")
    weights, stated_alpha = read_adapter(folder)
    names = [name.removesuffix(_A) for name in weights if name.endswith(_A)]
    if not names:
        raise PolicyError(f"{folder} is no LoRA: none of its {len(weights)} tensors has a name that ends in {_A}")
    ranks = sorted({weights[name + _A].shape[0] for name in names})
    if ranks != [rank]:
        found = ", ".join(map(str, ranks))
        raise PolicyError(f"{folder} is an adapter of rank {found}, and adapter.rank is {rank}")
    require_alpha(folder, stated_alpha, alpha)
    if layers is None:
        return
    shapes = {name: (weights[name + _A].shape[1], weights[f"{name}.lora_B.weight"].shape[0]) for name in names}
    if shapes != dict(layers):
        odd = sorted({*shapes} ^ {*layers}) or sorted(name for name in shapes if shapes[name] != layers[name])
        raise PolicyError(
            f"{folder} is an adapter of another model: of {len(layers)} adapted layers of the policy, it differs in "
            f"{', '.join(odd[:_SHOWN])}{', ...' if len(odd) > _SHOWN else ''}"
        )
