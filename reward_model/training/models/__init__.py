"""Reward models under training: initial weights, LoRA, and the packed forward pass with gradients."""
