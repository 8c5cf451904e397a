"""Benchmarks of GPU code; `python -m benchmarks.gpu --json OUT` measures the runner."""
