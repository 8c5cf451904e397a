"""Operation of a server process: supervision, drain, status, metrics, tracing, logging, hardening of BentoML."""
