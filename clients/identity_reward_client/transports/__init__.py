"""Clients of a running service over HTTP and gRPC, with retries and response checks."""
