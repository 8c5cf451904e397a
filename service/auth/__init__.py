"""API tokens, authentication and the rules for binding to public addresses."""
