"""Conversion of the released Identity-GRPO checkpoints to reward model folders and back, without running their code."""
