"""The `identity-reward` command line; other packages add commands to it by entry point."""
