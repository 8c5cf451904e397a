"""Training of the face-tracks head on preference pairs."""
