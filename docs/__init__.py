"""Source of the documentation site; `docs.generate` writes the parts of its pages that follow from code."""
