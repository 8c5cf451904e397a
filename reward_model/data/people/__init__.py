"""Rendered people: identities, clothes, scenes, renderers. Every draw is a function of its seed."""
