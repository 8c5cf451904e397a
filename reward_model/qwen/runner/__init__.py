"""Packed, prefix-shared, batch-invariant inference of Qwen2.5-VL reward models."""
