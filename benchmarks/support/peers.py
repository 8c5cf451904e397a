"""The peer of the runner: transformers with the same weights, a right-padded batch and `sdpa` attention."""

from __future__ import annotations

import torch

from reward_model.qwen.runner.sequence import TokenSequence


@torch.inference_mode()
def padded_batch(model, sequences: list[TokenSequence]) -> torch.Tensor:
    """[sequences, hidden]: hidden states at the reward tokens after the final norm, without gradients."""
    return padded_rows(model, sequences)


def padded_rows(model, sequences: list[TokenSequence]) -> torch.Tensor:
    """[sequences, hidden]: as `padded_batch`, with gradients if they are enabled."""
    device, longest = model.device, max(map(len, sequences))
    ids = torch.zeros(len(sequences), longest, dtype=torch.long)
    mask = torch.zeros(len(sequences), longest, dtype=torch.long)
    positions = torch.ones(3, len(sequences), longest, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.from_numpy(sequence.token_ids)
        mask[row, : len(sequence)] = 1
        positions[:, row, : len(sequence)] = torch.from_numpy(sequence.positions)
    media = {}
    for kind, values, is_image in (("image", "pixel_values", True), ("video", "pixel_values_videos", False)):
        clips = [clip for s in sequences for clip in s.clips if (clip.key is not None) == is_image]
        media[values] = torch.cat([clip.patches for clip in clips]).to(device)
        media[f"{kind}_grid_thw"] = torch.tensor([clip.grid for clip in clips], device=device)
    hidden = model(
        input_ids=ids.to(device),
        attention_mask=mask.to(device),
        position_ids=positions.to(device),
        use_cache=False,
        **media,
    ).last_hidden_state
    rewards = torch.tensor([len(s) - 1 for s in sequences], device=device)
    return hidden[torch.arange(len(sequences), device=device), rewards]
