"""Parameters of a rendered person: identity, clothes, and their descriptions."""
