"""Training of a Qwen2.5-VL reward model on preference pairs, and the teacher's filter of automatic labels."""
