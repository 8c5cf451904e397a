"""Training of a Qwen2.5-VL reward model on preference pairs."""
