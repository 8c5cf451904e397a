"""Conversion of paths, bytes, arrays and tensors into wire messages; pure functions, used by every client."""
