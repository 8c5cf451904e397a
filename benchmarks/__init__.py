"""One file a benchmark, of an op or of the whole system; each is run as `python -m benchmarks.NAME --json OUT`."""
