"""Preference-pair files and the media that they name, above only configs among the folders of training."""
