"""The Qwen2.5-VL reward model: prompt, preprocessing, model, pricing and scorer."""
