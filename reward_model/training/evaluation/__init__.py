"""Evaluation of scorers on preference pairs: predictions, statistics, reports."""
