"""Rendered people: identities, clothes, scenes, and the renderers that draw them. Every draw is a function of its seed."""
