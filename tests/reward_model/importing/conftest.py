"""A small released checkpoint in every layout: real structure and names, values seeded by the names of the tensors."""

from dataclasses import replace
from json import dumps
from zlib import crc32

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from reward_model.config import Piece
from reward_model.importing.keys import released
from reward_model.qwen.model import RewardModel
from reward_model.qwen.prompt import VIDEO_FIRST, conversation
from reward_model.qwen.tiny import tiny_backbone, tiny_config, tiny_tokenizer
from reward_model.qwen.tokenizer import QWEN_SPECIALS, byte_tokenizer

RANK, ALPHA = 4, 8.0
BASE_ROWS = 300
# the same structure as the released file: constants, several template types, a chain of conditions
PROMPT_SOURCE = '''
SCORE = """
Rate the {dimension_name}, that is {dimension_description}, of a video of "{text_prompt}": <|SA_reward|>
"""
DIMENSION_DESCRIPTIONS = {"SA": ["likeness", "how alike the faces are"]}
FACES = """
Do the faces of the video look like those of the pictures? Bäume – “quoted”   spaces.

Likeness: <|SA_reward|>
END
"""
THREE = """
Of "{text_prompt}". Quality: <|VQ_reward|>
END
Motion: <|MQ_reward|>
END
Text: <|TA_reward|>
END
"""
BARE = "no token at all"
raise RuntimeError("this file must never run")

def build_prompt(prompt, dimension, template_type):
    dimension_name, dimension_description = DIMENSION_DESCRIPTIONS[dimension[0]]
    if template_type == "none":
        return prompt
    elif template_type == "simple":
        return SCORE.format(dimension_name=dimension_name,
                            dimension_description=dimension_description,
                            text_prompt=prompt)
    elif template_type == "detailed_special":
        return THREE.format(text_prompt=prompt)
    elif template_type == "subject_alignment_special":
        return FACES
    elif template_type == "detailed":
        return BARE
    else:
        raise ValueError("unknown")
'''
FACES = "\nDo the faces of the video look like those of the pictures? Bäume – “quoted”   spaces.\n\nLikeness: "


def values(name, shape, scale=1.0):
    numbers = np.random.default_rng(crc32(name.encode())).standard_normal(shape, dtype=np.float32)
    if len(shape) == 1:
        numbers = 0.02 * numbers if name.endswith("bias") else 1 + 0.1 * numbers
    elif "embed_tokens" not in name:
        numbers *= np.float32(numbers[0].size ** -0.5)
    return torch.from_numpy(scale * numbers)


class Release:
    """Writes a base model, a checkpoint in any layout, and a checkout of the upstream code under `folder`."""

    def __init__(self, folder, outputs=1):
        self.folder = folder
        tokens = ["<|SA_reward|>"] if outputs == 1 else [f"<|{name}_reward|>" for name in ("VQ", "MQ", "TA")]
        self.tokens = tokens
        self.base_tokenizer = byte_tokenizer(QWEN_SPECIALS)
        self.rows = len(self.base_tokenizer) + len(tokens)
        self.backbone = tiny_backbone(tiny_tokenizer())
        self.backbone["text_config"] |= {"vocab_size": self.rows}
        pieces = [Piece("references"), Piece("video")]
        for token in tokens:
            pieces += [Piece("text", "x"), Piece("reward", token)]
        self.config = replace(
            tiny_config(tiny_tokenizer()), backbone=self.backbone, outputs=tuple("ABC"[:outputs]),
            template=replace(VIDEO_FIRST, pieces=conversation(pieces)),
        )  # fmt: skip
        shapes = {name: tuple(t.shape) for name, t in RewardModel(self.config).state_dict().items()}
        self.lora = {n for n in shapes if ".layers." in n and n.endswith("proj.weight")}
        self.trained = {n for n in shapes if "visual." in n or n == "head.weight" or "embed_tokens" in n}
        self.base = {n: values(f"base {n}", s) for n, s in shapes.items() if n != "head.weight"}
        self.base["body.language_model.embed_tokens.weight"] = values("base embed_tokens", (BASE_ROWS, 64))
        self.after = {n: values(f"trained {n}", shapes[n]) for n in self.trained}
        self.A = {n: values(f"A {n}", (RANK, shapes[n][1])) for n in self.lora}
        self.B = {n: values(f"B {n}", (shapes[n][0], RANK), 0.3) for n in self.lora}

    def merged(self):
        """float32 weights with LoRA merged, by the names of this project."""
        state = {**self.base, **self.after}
        for name in self.lora:
            state[name] = state[name] + ALPHA / RANK * (self.B[name] @ self.A[name])
        return state

    def write(self, layout="lora", names="4.51", step=105, prefix="base_model.model.", settings=None, dtype=None):
        rename = released if names == "4.51" else _new_name
        self._base(rename, dtype)
        root = self.folder / "checkpoint"
        checkpoint = root / f"checkpoint-{step}"
        checkpoint.mkdir(parents=True, exist_ok=True)
        full = {rename(n): t for n, t in self.merged().items()}
        full["lm_head.weight"] = full[rename("body.language_model.embed_tokens.weight")].clone()
        if layout == "lora":
            adapter = {f"{prefix}{rename(n)[:-7]}.lora_A.weight": t for n, t in self.A.items()}
            adapter |= {f"{prefix}{rename(n)[:-7]}.lora_B.weight": t for n, t in self.B.items()}
            save_file(adapter, checkpoint / "adapter_model.safetensors")
            torch.save({prefix + rename(n): t for n, t in self.after.items()}, checkpoint / "non_lora_state_dict.pth")
        elif layout == "wrapped":
            state = {prefix + rename(n): t for n, t in {**self.base, **self.after}.items() if n not in self.lora}
            for n in self.lora:
                stem = prefix + rename(n)[:-7]
                state |= {f"{stem}.base_layer.weight": self.base[n], f"{stem}.lora_A.default.weight": self.A[n],
                          f"{stem}.lora_B.default.weight": self.B[n]}  # fmt: skip
            for n in self.base:
                if n.endswith("proj.bias") and n[:-4] + "weight" in self.lora:
                    stem = prefix + rename(n)[:-5]
                    state[f"{stem}.base_layer.bias"] = state.pop(f"{stem}.bias")
            torch.save(state, checkpoint / "model.pth")
        elif layout == "folded":
            torch.save(full, checkpoint / "model.pth")
        elif layout == "safetensors":
            save_file(full, checkpoint / "model.safetensors")
        else:
            half = sorted(full)[::2]
            shards = {"model-00001-of-00002.safetensors": half,
                      "model-00002-of-00002.safetensors": sorted(full.keys() - set(half))}  # fmt: skip
            for file, keys in shards.items():
                save_file({key: full[key] for key in keys}, checkpoint / file)
            index = {"weight_map": {key: file for file, keys in shards.items() for key in keys}}
            (checkpoint / "model.safetensors.index.json").write_text(dumps(index))
        (root / "config.json").write_text(dumps(self._flat_config(self.rows)))
        (root / "model_config.json").write_text(dumps(self._settings(settings or {}, layout in ("lora", "wrapped"))))
        source = self.folder / "upstream/vace_reward/prompt_template.py"
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(PROMPT_SOURCE, encoding="utf-8")
        return root, self.folder / "upstream", self.folder / "base"

    def _base(self, rename, dtype):
        folder = self.folder / "base"
        folder.mkdir(parents=True, exist_ok=True)
        state = {rename(n): t.to(dtype or t.dtype) for n, t in self.base.items()}
        save_file(state, folder / "model.safetensors")
        (folder / "config.json").write_text(dumps(self._flat_config(BASE_ROWS)))
        (folder / "tokenizer.json").write_text(self.base_tokenizer.to_json())

    def _flat_config(self, rows):
        text, vision = dict(self.backbone["text_config"]), dict(self.backbone["vision_config"])
        rope = text.pop("rope_parameters")
        ids = {key: self.backbone[key] for key in self.backbone if key.endswith("_id")}
        return {
            "architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl", **text, **ids,
            "vocab_size": rows, "rope_theta": rope["rope_theta"], "tie_word_embeddings": True,
            "rope_scaling": {"mrope_section": rope["mrope_section"], "rope_type": "default", "type": "default"},
            "sliding_window": 32768, "use_sliding_window": False, "max_window_layers": 70,
            "pad_token_id": self.base_tokenizer.special("<|endoftext|>"), "transformers_version": "4.51.3",
            "vision_config": {"model_type": "qwen2_5_vl", "in_chans": 3, "spatial_patch_size": 14, **vision},
        }  # fmt: skip

    def _settings(self, changes, lora):
        template = "subject_alignment_special" if len(self.tokens) == 1 else "detailed_special"
        parts = {
            "data_config": {"max_frame_pixels": 399360, "num_frames": 5.0, "fps": None, "eval_dim": ["SA"],
                            "prompt_template_type": template},
            "model_config": {"model_name_or_path": "Qwen/Qwen2.5-VL-3B-Instruct", "output_dim": len(self.tokens),
                             "use_special_tokens": True, "reward_token": "special", "torch_dtype": "bfloat16"},
            "peft_lora_config": {"lora_enable": lora, "lora_r": RANK, "lora_alpha": ALPHA, "use_rslora": False},
        }  # fmt: skip
        for part, values in changes.items():
            parts[part] = {**parts.get(part, {}), **values}
        return parts


def _new_name(name):
    old = released(name)
    if old.startswith("visual."):
        return f"model.{old}"
    return old.replace("model.", "model.language_model.", 1) if old.startswith("model.") else old


@pytest.fixture
def release(tmp_path):
    return Release(tmp_path)


@pytest.fixture(scope="session")
def release_of():
    return Release
