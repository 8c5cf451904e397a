"""Scenarios built from photographs of the OpenPeople data set."""
