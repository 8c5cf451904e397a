"""The HTTP transport: route table, ASGI application, request bodies, responses, OpenAPI document."""
