"""Benchmarks that need a GPU or the GPU compiler; `python -m benchmarks.gpu --json OUT` measures the runner."""
