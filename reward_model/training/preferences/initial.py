"""The model that a training starts from: nothing, a folder of ours, or Qwen2.5-VL as Hugging Face stores it."""

from __future__ import annotations

from dataclasses import replace
from hashlib import file_digest, sha256
from pathlib import Path

import numpy as np
import torch

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

from ..config import ModelConfig
from ..errors import TrainingError
from .backbones import BACKBONES, SAMPLINGS, TEMPLATES

RESIDUAL_OUTPUTS = ("o_proj.weight", "attn.proj.weight", "down_proj.weight")


def initial_model(config: ModelConfig, seed: int) -> tuple[RewardModel, TextTokenizer]:
    """float32 on the CPU. TrainingError or CheckpointError for what can't be started from."""
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
    return _from_ours(config, folder)


def initial_hash(config: ModelConfig) -> dict[str, str]:
    """{"init": sha256 over the weights' files that `initial_model` reads}; {} for a model from scratch."""
    if config.init == "scratch":
        return {}
    digest = sha256()
    for path in sorted(Path(config.init).glob("*.safetensors")):
        with path.open("rb") as file:
            digest.update(file_digest(file, "sha256").digest())
    return {"init": digest.hexdigest()}


def _from_scratch(config: ModelConfig, seed: int) -> tuple[RewardModel, TextTokenizer]:
    backbone = _known("model.backbone", config.backbone, BACKBONES)
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


def _from_ours(config: ModelConfig, folder: Path) -> tuple[RewardModel, TextTokenizer]:
    model, tokenizer = load_model(folder, "cpu", torch.float32)
    own = model.config
    for field, given, its in (
        ("template", config.template, own.template.name),
        ("frame_sampling", config.frame_sampling, own.frame_sampling.name),
    ):
        if given is not None and given != its:
            raise TrainingError(f"model.{field} is {given}, and {folder} was trained with {its}; leave the field out")
    # what is trained is the raw reward
    model.config = replace(
        own, name=config.name, version=config.version, domain=config.domain, description=config.description,
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
            # where text goes on after pictures; the released models are read as transformers 4.51 did
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
    """Normal weights that keep variance, what is added to the residual stream smaller with depth; the same with every
    release of torch."""
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
    """Cut to `rows` as the released code does; rows that the base doesn't have are the mean of its own."""
    if len(value) >= rows:
        return value[:rows].clone()
    return torch.cat([value, value.mean(0, keepdim=True).expand(rows - len(value), -1)])


def _template(config: ModelConfig) -> PromptTemplate | None:
    if config.template is None:
        return None
    if config.upstream is not None:
        return read_template(Path(config.upstream), config.template, ["SA"])
    return _known("model.template", config.template, TEMPLATES)


def _sampling(config: ModelConfig):
    return None if config.frame_sampling is None else _known("model.frame_sampling", config.frame_sampling, SAMPLINGS)


def _outputs(template: PromptTemplate) -> tuple[str, ...]:
    tokens = template.reward_tokens
    if len(tokens) != 1:
        raise TrainingError(f"template {template.name} reads {len(tokens)} rewards; one is trained")
    name = tokens[0].removeprefix("<|").removesuffix("|>").removesuffix("_reward")
    return (name if name.isupper() else "identity",)


def _known(field: str, given: str, known: dict):
    if given not in known:
        raise TrainingError(f"{field} is {given!r}; there are {', '.join(known)}")
    return known[given]
