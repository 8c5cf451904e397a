"""Policies over Wan 2.1 video models with diffusers' networks, imported by name from a configuration only."""

from .sizes.checkpoint import policy_sizes as policy_sizes
