"""Frame preprocessing for Qwen2.5-VL: uint8 frames to patches, the same pixels on every device."""
