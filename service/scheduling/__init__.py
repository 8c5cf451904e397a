"""Admission control, the fair queue and the batching scheduler."""
