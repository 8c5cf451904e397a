"""Evaluation of scorers on preference pairs: predictions, accuracies with intervals, and reports."""
