"""Checkpoints of the released code, read without running any of it."""
