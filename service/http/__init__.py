"""HTTP: route table, middleware, request bodies, responses, OpenAPI document, documentation page."""
