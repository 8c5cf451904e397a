"""A small flow-matching policy over the identities of rendered people, whose decoder is a renderer."""
