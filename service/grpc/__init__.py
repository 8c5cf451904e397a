"""gRPC: server, methods, interceptors, TLS."""
