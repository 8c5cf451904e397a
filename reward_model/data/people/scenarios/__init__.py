"""Casts with their clips and portraits, and the preference labels of their pairs."""
