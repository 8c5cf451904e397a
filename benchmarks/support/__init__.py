"""Shared parts of the benchmarks: the harness, peers, workloads and load generator."""
