"""Preference-pair files and the media they name; below every other room of training but configs."""
