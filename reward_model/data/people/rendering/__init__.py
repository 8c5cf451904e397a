"""Renderers of scenes: OpenGL through EGL, and numpy."""
