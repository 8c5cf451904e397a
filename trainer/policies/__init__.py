"""Video models under training behind one protocol, imported by the rollout, the updates and the run."""
