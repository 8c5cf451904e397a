"""Preferences: what a record holds, and where pairs of videos with a known answer come from."""
