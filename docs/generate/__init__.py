"""Writes the generated parts of the documentation: `python -m docs.generate`. No package imports it."""
