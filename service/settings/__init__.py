"""Settings of a server process, read from IDENTITY_REWARD_* environment variables."""
