"""Preference data: records, formats, checks, and generated data sets of people."""
