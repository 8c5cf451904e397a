"""Faces in pictures: found, aligned, embedded, matched to the people of the references.

For scoring how well a video keeps its people, not for finding out who somebody is.
"""
