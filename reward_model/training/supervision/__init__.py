"""Auxiliary supervision from rendered clips: ground truth of faces, the tokens that show them, and losses."""
