"""Triangle meshes and texture atlases of rendered people."""
