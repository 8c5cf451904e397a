"""Video models under training, behind one protocol. Imported by the rollout and the run."""
