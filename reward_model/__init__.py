"""Reward models: samples in, rewards out. Names are imported from their own files, so that nothing loads unasked."""
