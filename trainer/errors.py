"""Errors of policies."""


class PolicyError(ValueError):
    """A prompt, its references or a configuration that a policy cannot use; the message says what would do."""
