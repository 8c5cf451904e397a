"""Every fourth pixel of the examples scored by `tiny`, with patches of the plain op and of the interpreted kernel:

    TRITON_INTERPRET=1 python -m tests.frame_ops.scored OUT

Rewards as hexadecimal floats, for the resize semantics of models trained here (u8) and of the released model (float for
frames, pillow for references); under `float` also how many bytes of the frames the two disagree on.
"""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from frame_ops.plan import Tile
from frame_ops.resize_normalize_patchify import launch
from frame_ops.resize_normalize_patchify.launch import Variant
from reward_model.decoding.decoders import decode_frames, probe
from reward_model.qwen.scorer import QwenScorer
from reward_model.qwen.tiny import tiny_config, tiny_model, tiny_tokenizer
from reward_model.types import ReferenceSet, Sample, Video
from tests.frame_ops.interpreted import integers_through_blas

EXAMPLES = Path(__file__).parents[2] / "examples"
launch.VARIANT = launch.FLOAT_VARIANT = Variant(Tile(256, 256, 256, 256, 4))


def samples(sampling) -> dict[str, Sample]:
    found = {}
    for group in json.loads((EXAMPLES / "examples.json").read_text())["groups"]:
        references = ReferenceSet(
            tuple(np.asarray(Image.open(EXAMPLES / path))[::4, ::4] for path in group["references"])
        )
        for clip in group["clips"]:
            data = (EXAMPLES / clip["file"]).read_bytes()
            about = probe(data)
            indices = sampling.indices(about.num_frames, about.fps)
            frames = decode_frames(data, indices)[:, ::4, ::4]
            found[clip["file"]] = Sample(references, Video(frames, about.fps, about.num_frames, indices))
    return found


def main() -> None:
    integers_through_blas()
    results = {}
    for frames_by, references_by in (("u8", "u8"), ("float", "pillow")):
        model = tiny_model(tiny_config(tiny_tokenizer()))
        sampling = model.config.frame_sampling
        rules = {
            "frame_pixels": replace(sampling.frame_pixels, resize=frames_by),
            "reference_pixels": replace(sampling.reference_pixels, resize=references_by),
        }
        model.config = replace(model.config, frame_sampling=replace(sampling, **rules))
        made = samples(sampling)
        kept = {}
        for choice in ("naive", "triton"):
            os.environ["FRAME_OPS_BACKEND"] = choice
            scorer = QwenScorer(model, tiny_tokenizer())
            for name, sample in made.items():
                sequence = scorer.preprocess(sample)
                reward = scorer.postprocess(scorer.forward([sequence])[0]).reward
                entry = results.setdefault(f"{frames_by} {name}", {})
                entry[choice] = reward.hex()
                patches = sequence.clips[-1].patches
                if choice == "naive":
                    kept[name] = patches
                else:
                    entry["share_that_differs"] = (patches != kept[name]).float().mean().item()
    Path(sys.argv[1]).write_text(json.dumps(results))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
