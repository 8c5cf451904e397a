"""Every fourth pixel of the examples scored by `tiny`, with patches of the plain op and of the interpreted kernel:

    TRITON_INTERPRET=1 python -m tests.frame_ops.scored OUT

Rewards as hexadecimal floats, for the resize semantics of models trained here (u8) and of the released model (float for
frames, pillow for references); under `float` also the share of values that differ between the two.
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
    samples_by_clip = {}
    for group in json.loads((EXAMPLES / "examples.json").read_text())["groups"]:
        references = ReferenceSet(
            tuple(np.asarray(Image.open(EXAMPLES / path))[::4, ::4] for path in group["references"])
        )
        for clip in group["clips"]:
            data = (EXAMPLES / clip["file"]).read_bytes()
            video = probe(data)
            indices = sampling.indices(video.num_frames, video.fps)
            frames = decode_frames(data, indices)[:, ::4, ::4]
            samples_by_clip[clip["file"]] = Sample(references, Video(frames, video.fps, video.num_frames, indices))
    return samples_by_clip


def main() -> None:
    integers_through_blas()
    results = {}
    for frame_rule, reference_rule in (("u8", "u8"), ("float", "pillow")):
        model = tiny_model(tiny_config(tiny_tokenizer()))
        sampling = model.config.frame_sampling
        rules = {
            "frame_pixels": replace(sampling.frame_pixels, resize=frame_rule),
            "reference_pixels": replace(sampling.reference_pixels, resize=reference_rule),
        }
        model.config = replace(model.config, frame_sampling=replace(sampling, **rules))
        samples_by_clip = samples(sampling)
        naive_patches = {}
        for choice in ("naive", "triton"):
            os.environ["FRAME_OPS_BACKEND"] = choice
            scorer = QwenScorer(model, tiny_tokenizer())
            for name, sample in samples_by_clip.items():
                sequence = scorer.preprocess(sample)
                reward = scorer.postprocess(scorer.forward([sequence])[0]).reward
                entry = results.setdefault(f"{frame_rule} {name}", {})
                entry[choice] = reward.hex()
                patches = sequence.clips[-1].patches
                if choice == "naive":
                    naive_patches[name] = patches
                else:
                    entry["share_that_differs"] = (patches != naive_patches[name]).float().mean().item()
    Path(sys.argv[1]).write_text(json.dumps(results))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
