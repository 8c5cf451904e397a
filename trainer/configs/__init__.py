"""Sections of a GRPO configuration beside the algorithm, and the YAML files that ship."""
