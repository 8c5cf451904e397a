"""Preference records, and the world of rendered people."""
