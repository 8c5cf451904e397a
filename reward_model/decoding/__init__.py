"""Image and video files to uint8 RGB pixels, in confined worker processes where files are untrusted."""
