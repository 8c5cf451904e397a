"""Scenes, motion and clip plans of rendered people, and their random sampling."""
