"""Pretraining of a vision tower from scratch on rendered faces, before a model is trained on preferences."""
