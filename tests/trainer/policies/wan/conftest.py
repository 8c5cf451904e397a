"""Random models of toy size on disk: VACE and Wan for text in diffusers' layout, Phantom in its own."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from trainer.policies.wan.phantom_checkpoint import published_name
from trainer.prompts import Prompt

TRANSFORMER = {
    "num_attention_heads": 2, "attention_head_dim": 12, "in_channels": 16, "out_channels": 16, "text_dim": 32,
    "freq_dim": 256, "ffn_dim": 32, "num_layers": 3, "cross_attn_norm": True, "rope_max_seq_len": 32,
}  # fmt: skip
VACE = {**TRANSFORMER, "vace_layers": [0, 2], "vace_in_channels": 96}
VAE = {
    "base_dim": 3, "z_dim": 16, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1,
    "temperal_downsample": [False, True, True],
}  # fmt: skip
WORDS = [
    "two",
    "people",
    "walk",
    "at",
    "a",
    "beach",
    "in",
    "the",
    "rain",
    "bright",
    "colours",
    "static",
    "worst",
    "quality",
]


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """Folder of the whole checkpoint of VACE."""
    from diffusers import WanVACEPipeline, WanVACETransformer3DModel

    return _save(tmp_path_factory.mktemp("vace"), WanVACEPipeline, WanVACETransformer3DModel, VACE)


@pytest.fixture(scope="session")
def t2v_checkpoint(tmp_path_factory):
    """Folder of the whole checkpoint of Wan for text."""
    from diffusers import WanPipeline, WanTransformer3DModel

    return _save(tmp_path_factory.mktemp("t2v"), WanPipeline, WanTransformer3DModel, TRANSFORMER)


@pytest.fixture(scope="session")
def phantom_transformer():
    """diffusers' transformer with the weights of `phantom_weights`, which are others than those of `t2v_checkpoint`."""
    from diffusers import WanTransformer3DModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        transformer = WanTransformer3DModel(**TRANSFORMER)
        _strengthen(transformer)
    return transformer.eval()


@pytest.fixture(scope="session")
def phantom_weights(phantom_transformer, tmp_path_factory):
    """File of weights as Phantom publishes them."""
    path = tmp_path_factory.mktemp("phantom") / "Phantom-Wan-tiny.pth"
    torch.save({published_name(name): tensor for name, tensor in phantom_transformer.state_dict().items()}, path)
    return path


def _save(folder, pipeline, transformer, config):
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler
    from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

    umt5 = UMT5Config(vocab_size=len(WORDS) + 2, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = pipeline(
            tokenizer=PreTrainedTokenizerFast(tokenizer_object=_words(), unk_token="<unk>", pad_token="<pad>"),
            text_encoder=UMT5EncoderModel(umt5),
            vae=AutoencoderKLWan(**VAE),
            scheduler=UniPCMultistepScheduler(
                prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0, num_train_timesteps=1000
            ),
            transformer=transformer(**config),
        )
        _strengthen(made.transformer)
    made.save_pretrained(folder)
    return folder


def _strengthen(transformer):
    """So that the output depends on references and text as much as on noise; as initialised it hardly does."""
    for name, parameter in transformer.named_parameters():
        if name.startswith(("vace_patch_embedding", "condition_embedder.text", "vace_blocks")) and parameter.ndim > 1:
            parameter.data *= 3
        elif "attn2" in name and parameter.ndim > 1:
            parameter.data *= 4


def _words():
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {word: number for number, word in enumerate(["<pad>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


@pytest.fixture(scope="session")
def prompts(tmp_path_factory):
    """Three prompts with one, two and two references, of sizes that both resizes change."""
    folder, rng = tmp_path_factory.mktemp("references"), np.random.default_rng(0)
    made = []
    for n, sizes in enumerate([[(50, 61)], [(37, 90), (64, 64)], [(61, 33), (44, 70)]]):
        paths = []
        for r, (width, height) in enumerate(sizes):
            paths.append(folder / f"{n}-{r}.png")
            Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(paths[-1])
        made.append(Prompt(f"p{n}", f"two people walk at a beach {'in the rain' * n}", tuple(paths)))
    return made


@pytest.fixture(scope="session")
def prompt_cache(tmp_path_factory):
    """A folder of embeddings that tests share, as runs do."""
    return tmp_path_factory.mktemp("prompts")


@pytest.fixture
def options(checkpoint, prompt_cache):
    return options_of(checkpoint, prompt_cache)


@pytest.fixture
def phantom_options(t2v_checkpoint, phantom_weights, prompt_cache):
    return {**options_of(t2v_checkpoint, prompt_cache), "weights": str(phantom_weights)}


def options_of(checkpoint, prompt_cache):
    """Options of a policy over the checkpoint: 9 frames of 32 x 48."""
    return {
        "checkpoint": str(checkpoint), "num_frames": 9, "height": 32, "width": 48, "text_dtype": "float32",
        "max_text_tokens": 16, "prompt_cache": str(prompt_cache), "negative_prompt": "worst quality",
    }  # fmt: skip


def write_json(path, **changes):
    """Changes values of a JSON file."""
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
