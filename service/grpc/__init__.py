"""The gRPC transport: server, methods, interceptors, TLS."""
