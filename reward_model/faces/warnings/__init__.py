"""Reasons to doubt a reward, measured on faces and pixels, for the scorers of faces; they do not change rewards."""
