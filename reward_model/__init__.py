"""Reward models and their training: decoded samples in, rewards out."""
