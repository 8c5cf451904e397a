"""The op from uint8 frames to the patch rows of a Qwen2.5-VL vision tower, with an implementation for each device."""
