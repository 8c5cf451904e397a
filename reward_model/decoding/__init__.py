"""Video and image decoding in sandboxed worker processes."""
