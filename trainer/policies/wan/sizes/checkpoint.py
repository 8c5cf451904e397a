"""Sizes of Wan policies from their configuration and the headers of their files; see `StatesSizes`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ConfigDict
from safetensors import SafetensorError, safe_open

from reward_model.training.configs.base import Count
from trainer.errors import PolicyError
from trainer.policies.sizes import PolicySizes

from ..options import WanOptions, read_options
from .transformer import TransformerSizes

# of Wan 2.1's VAE and of UMT5-XXL's encoder
VAE_PARAMETERS = 126_892_531
TEXT_ENCODER_PARAMETERS = 5_680_910_336
VACE, WAN = "WanVACETransformer3DModel", "WanTransformer3DModel"
_BYTES = {"float32": 4, "bfloat16": 2}
_SPATIAL, _TEMPORAL = 8, 4
# numbers for each pixel of a frame at the peak of decoding with its cache: measured on the VAE of Wan 2.1 on a CPU
_DECODING_NUMBERS = 4950
_WEIGHTS = "*.safetensors"


class _SizeOptions(WanOptions):
    """Options of every Wan policy that change its sizes; others are read by the policy alone."""

    model_config = ConfigDict(extra="ignore")

    max_references: Count = 8
    adapt_control_blocks: bool = True
    # weights in a file of their own: of the transformer, the checkpoint then has the configuration only
    weights: str | None = None


def policy_sizes(
    factory: str, options: Mapping[str, Any], num_references: int, rank: int, autocast: bool
) -> PolicySizes:
    """See `StatesSizes.policy_sizes`."""
    chosen = read_options(_SizeOptions, options)
    if problems := list(_problems(chosen)):
        raise PolicyError("; ".join(problems))
    config = _read_config(Path(chosen.checkpoint) / "transformer/config.json")
    try:
        transformer = TransformerSizes.of(config)
    except KeyError as error:
        raise PolicyError(f"{chosen.checkpoint}/transformer/config.json has no field {error}") from None
    if not chosen.weights:
        _require_parameters(Path(chosen.checkpoint) / "transformer", transformer)
    return wan_sizes(transformer, chosen, num_references, rank, autocast)


def wan_sizes(
    transformer: TransformerSizes, options: WanOptions, num_references: int, rank: int, autocast: bool
) -> PolicySizes:
    """Sizes of a VACE where the transformer has blocks of a control, of a Phantom otherwise."""
    is_vace = transformer.vace_blocks > 0
    size = (options.num_frames - 1) // _TEMPORAL + 1, options.height // _SPATIAL, options.width // _SPATIAL
    frames = size[0] + num_references
    tokens, text = transformer.tokens(frames, *size[1:]), options.max_text_tokens
    weight = _BYTES[options.dtype]
    copies = autocast and weight == _BYTES["float32"]
    # the latents of references are among those of VACE's samples, and beside those of Phantom's
    latent_frames = frames if is_vace else size[0]
    pixels = size[1] * size[2]
    control = transformer.control_channels * frames if is_vace else transformer.in_channels * num_references
    return PolicySizes(
        parameters=transformer.parameters,
        bytes_per_parameter=weight,
        adapted_layers=transformer.adapted_layers(bool(getattr(options, "adapt_control_blocks", True))),
        largest_block_parameters=transformer.block_parameters + (2 * transformer.width**2 if is_vace else 0),
        tokens=tokens,
        flops=transformer.flops(tokens, text),
        latent_numbers=transformer.in_channels * latent_frames * pixels,
        conditioning_bytes=weight * (pixels * control + text * transformer.text_width),
        guidance_passes=2 if is_vace else 3,
        activations=transformer.pass_activations(tokens, text, rank, autocast, copies),
        checkpoints=transformer.checkpoint_activations(tokens, autocast),
        block=transformer.block_activations(tokens, text, rank, autocast, copies),
        working=transformer.working_activations(tokens, autocast),
        other_weights_bytes=VAE_PARAMETERS * _BYTES[options.vae_dtype],
        decoding_bytes=_DECODING_NUMBERS * options.height * options.width * _BYTES[options.vae_dtype],
        text_encoder_bytes=TEXT_ENCODER_PARAMETERS * _BYTES[options.text_dtype],
    )


def _problems(options: _SizeOptions) -> Iterator[str]:
    """Files that are missing or can't be opened, a line each."""
    folder = Path(options.checkpoint)
    if not folder.is_dir():
        yield f"{folder} is no folder; the checkpoint is a model in diffusers' layout on disk"
        return
    parts = ["vae", "text_encoder"] if options.weights else ["transformer", "vae", "text_encoder"]
    for name in ("transformer", "vae", "text_encoder"):
        if not (folder / name / "config.json").is_file():
            yield f"{folder / name}/config.json is missing"
    for name in parts:
        yield from _weights_problems(folder / name)
    if not any((folder / "tokenizer").glob("*.json")):
        yield f"{folder / 'tokenizer'} has no files of a tokenizer"
    if options.weights and not Path(options.weights).is_file():
        yield f"{options.weights} is no file; it has the published weights"


def _weights_problems(folder: Path) -> Iterator[str]:
    expected = {path.name for path in folder.glob(_WEIGHTS)}
    for index in folder.glob("*.safetensors.index.json"):
        expected |= set(_read_config(index).get("weight_map", {}).values())
    if not expected:
        yield f"{folder} has no weights ({_WEIGHTS})"
    for name in sorted(expected):
        try:
            with safe_open(folder / name, "pt"):
                pass
        except (SafetensorError, OSError) as error:
            yield f"{folder / name} can't be opened: {error}"


def _require_parameters(folder: Path, transformer: TransformerSizes) -> None:
    """The files hold as many parameters as the configuration says."""
    count = 0
    for path in folder.glob(_WEIGHTS):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118
                numbers = 1
                for side in file.get_slice(name).get_shape():
                    numbers *= side
                count += numbers
    if count != transformer.parameters:
        raise PolicyError(
            f"the files in {folder} have {count:,} parameters, and its config.json is of a transformer of "
            f"{transformer.parameters:,}"
        )


def _read_config(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise PolicyError(f"{path} can't be read: {error}") from None
    if not isinstance(content, dict):
        raise PolicyError(f"{path} is no configuration")
    return content
