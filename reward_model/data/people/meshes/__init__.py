"""Triangle meshes and textures of rendered people."""
