"""The `identity-reward` command line."""
