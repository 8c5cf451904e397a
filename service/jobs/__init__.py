"""Bulk jobs: database, store, manifest parsing, runner."""
