"""Writing of the data set: worker processes, media files, preference pairs, and the folder's state."""
