"""Preference-pair files and the media they name, read for training and evaluation; imports no other room of training."""
