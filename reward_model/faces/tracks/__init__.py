"""Faces linked over the frames of a clip, their quality, and the head that scores them."""
