"""Aligning video models with a remote reward."""
