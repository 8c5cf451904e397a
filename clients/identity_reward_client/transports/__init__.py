"""Clients of a running service over HTTP and gRPC: retries, recovery and checks of responses."""
