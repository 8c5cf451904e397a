"""Benchmarks of single operations and of the whole system; `python -m benchmarks.NAME --json OUT` runs one."""
