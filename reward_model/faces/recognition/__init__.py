"""Face detection, alignment, embedding, and matching to reference faces."""
