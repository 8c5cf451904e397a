"""Supervision, draining, status, metrics and tracing of a server process."""
