"""Conversion of paths, bytes, arrays and tensors into wire messages."""
