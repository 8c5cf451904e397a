"""Initial models of a training: from scratch, from a saved reward model, or from Qwen2.5-VL of Hugging Face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from identity_reward_client.frame_sampling import FrameSampling
from reward_model.config import IDENTITY_GRPO, PromptTemplate, RewardModelConfig
from reward_model.data.seeding import generator
from reward_model.folder import CONFIG, CheckpointError
from reward_model.importing.body import body_arguments
from reward_model.importing.keys import EMBEDDING, NORM, REWARD_HEAD
from reward_model.importing.layout import open_base, read_json
from reward_model.importing.merge import locate
from reward_model.importing.template import read_template
from reward_model.qwen.loading import load_model
from reward_model.qwen.model import RewardModel
from reward_model.qwen.prompt import IDENTITY_FIRST
from reward_model.qwen.tokenizer import TextTokenizer, load_tokenizer

from ..configs.base import ModelConfig
from ..configs.renamed import current_value
from ..errors import TrainingError
from .backbones import BACKBONES, SAMPLINGS, TEMPLATES

T = TypeVar("T")
# weights whose outputs are added to the residual stream
RESIDUAL_OUTPUTS = ("o_proj.weight", "attn.proj.weight", "down_proj.weight")


def initial_model(config: ModelConfig, seed: int) -> tuple[RewardModel, TextTokenizer]:
    """The model, float32 on the CPU, and its tokenizer. Raises TrainingError or CheckpointError where `config.init` is
    nothing to start from."""
    if config.init == "scratch":
        return _from_scratch(config, seed)
    folder = Path(config.init)
    if not folder.is_dir():
        raise TrainingError(f"model.init is {config.init!r}: neither scratch nor a folder; --set model.init=FOLDER")
    if (folder / "model_config.json").is_file() or any(folder.glob("checkpoint-*")):
        raise CheckpointError(
            f"{folder} looks like a released checkpoint; run `identity-reward import-checkpoint` first"
        )
    if (folder / CONFIG).is_file() and "model_type" in read_json(folder / CONFIG):
        return _from_base(config, folder, seed)
    return _from_saved(config, folder)


def initial_hash(config: ModelConfig) -> dict[str, str]:
    """{"init": sha256 of the weight files that `initial_model` reads}; {} for a model from scratch."""
    if config.init == "scratch":
        return {}
    digest = sha256()
    for path in sorted(Path(config.init).glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(file_digest(file, "sha256").digest())
    return {"init": digest.hexdigest()}


def _from_scratch(config: ModelConfig, seed: int) -> tuple[RewardModel, TextTokenizer]:
    backbone = _lookup("model.backbone", config.backbone, BACKBONES)
    tokenizer = backbone.tokenizer()
    template = _template(config) or backbone.template
    tokenizer.add_special(template.reward_tokens)
    model = RewardModel(
        RewardModelConfig(
            name=config.name,
            version=config.version,
            domain=config.domain,
            description=config.description,
            backbone=backbone.arguments(tokenizer),
            template=template,
            frame_sampling=_sampling(config) or backbone.frame_sampling,
            position_dialect="5",
            outputs=_outputs(template),
        )
    )
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    model.load_state_dict(random_weights(shapes, seed), assign=True)
    return model, tokenizer


def _from_saved(config: ModelConfig, folder: Path) -> tuple[RewardModel, TextTokenizer]:
    model, tokenizer = load_model(folder, "cpu", torch.float32)
    trained = model.config
    for field, value, trained_with in (
        ("template", config.template, current_value("model.template", trained.template.name)),
        ("frame_sampling", config.frame_sampling, trained.frame_sampling.name),
    ):
        if value is not None and value != trained_with:
            raise TrainingError(
                f"model.{field} is {value}, and {folder} was trained with {trained_with}; leave the field out"
            )
    # the raw reward is trained, without normalization
    model.config = replace(
        trained, name=config.name, version=config.version, domain=config.domain, description=config.description,
        normalization=None,
    )  # fmt: skip
    return model, tokenizer


def _from_base(config: ModelConfig, folder: Path, seed: int) -> tuple[RewardModel, TextTokenizer]:
    try:
        tokenizer = load_tokenizer(folder)
    except FileNotFoundError as error:
        raise CheckpointError(str(error)) from None
    template = _template(config) or IDENTITY_FIRST
    tokenizer.add_special(template.reward_tokens)
    rows = len(tokenizer)
    model = RewardModel(
        RewardModelConfig(
            name=config.name,
            version=config.version,
            domain=config.domain,
            description=config.description,
            backbone=body_arguments(read_json(folder / CONFIG), rows, tokenizer),
            template=template,
            frame_sampling=_sampling(config) or IDENTITY_GRPO,
            # positions of text after images, as in transformers 4.51, which the released models were trained with
            position_dialect="4.51",
            outputs=_outputs(template),
        )
    )
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    weights = locate([open_base(folder)]).weights
    state = {REWARD_HEAD: random_weights({REWARD_HEAD: shapes[REWARD_HEAD]}, seed)[REWARD_HEAD]}
    if missing := sorted(shapes.keys() - state.keys() - weights.keys()):
        raise CheckpointError(f"{folder} lacks {', '.join(missing[:12])}")
    for name in shapes.keys() - state.keys():
        file, key = weights[name]
        value = file.read(key).to(torch.float32)
        state[name] = _vocabulary(value, rows) if name == EMBEDDING else value
        if tuple(state[name].shape) != shapes[name]:
            raise CheckpointError(f"{folder}: {name} is {list(state[name].shape)} instead of {list(shapes[name])}")
    model.load_state_dict(state, assign=True)
    return model, tokenizer


def random_weights(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, torch.Tensor]:
    """float32 weights by name: normal, with variance 1 / fan-in; ones for norms, zeros for biases.

    Outputs to the residual stream are scaled by 1 / sqrt(depth), as in GPT-2 (Radford et al. 2019, section 2.3). numpy
    generates them, so that they do not depend on the release of torch.
    """
    depth = max(1, len({name for name in shapes if name.endswith(RESIDUAL_OUTPUTS)}))
    state = {}
    for name, shape in sorted(shapes.items()):
        if name == NORM or (len(shape) == 1 and not name.endswith("bias")):
            state[name] = torch.ones(shape)
            continue
        if name.endswith("bias"):
            state[name] = torch.zeros(shape)
            continue
        values = generator(seed, "weights", name).standard_normal(shape, dtype=np.float32)
        if name != EMBEDDING:
            values *= np.float32(np.prod(shape[1:]) ** -0.5)
        if name.endswith(RESIDUAL_OUTPUTS):
            values *= np.float32(depth**-0.5)
        state[name] = torch.from_numpy(values)
    return state


def _vocabulary(value: torch.Tensor, rows: int) -> torch.Tensor:
    """The embedding [V, D] cut to `rows`, as the released code does; missing rows are the mean of the others."""
    if len(value) >= rows:
        return value[:rows].clone()
    return torch.cat([value, value.mean(0, keepdim=True).expand(rows - len(value), -1)])


def _template(config: ModelConfig) -> PromptTemplate | None:
    if config.template is None:
        return None
    if config.upstream is not None:
        return read_template(Path(config.upstream), config.template, ["SA"])
    return _lookup("model.template", config.template, TEMPLATES)


def _sampling(config: ModelConfig) -> FrameSampling | None:
    return None if config.frame_sampling is None else _lookup("model.frame_sampling", config.frame_sampling, SAMPLINGS)


def _outputs(template: PromptTemplate) -> tuple[str, ...]:
    tokens = template.reward_tokens
    if len(tokens) != 1:
        raise TrainingError(f"template {template.name} reads {len(tokens)} rewards; one is trained")
    name = tokens[0].removeprefix("<|").removesuffix("|>").removesuffix("_reward")
    return (name if name.isupper() else "identity",)


def _lookup(field: str, name: str, choices: Mapping[str, T]) -> T:
    if name not in choices:
        raise TrainingError(f"{field} is {name!r}; there are {', '.join(choices)}")
    return choices[name]
