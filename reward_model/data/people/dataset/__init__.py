"""The data set on disk: worker processes, media files, preference pairs."""
