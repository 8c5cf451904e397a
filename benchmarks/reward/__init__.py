"""Benchmarks of rewards: what they see, what they can be deceived by, and what they cost a trainer."""
