"""The mathematics of GRPO on flow-matching models: pure functions in float32, which import nothing of the trainer."""
