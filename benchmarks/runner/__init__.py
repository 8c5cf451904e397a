"""Benchmarks of the packed inference of Qwen2.5-VL (`reward_model.qwen.runner`) on a CPU."""
