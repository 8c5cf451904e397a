"""uint8 frames to the patch rows that a Qwen2.5-VL vision tower takes. Parts are imported from their own files."""
