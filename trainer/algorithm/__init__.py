"""The mathematics of GRPO on flow-matching models: pure functions in float32. Imports nothing else of the trainer."""
