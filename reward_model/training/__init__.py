"""Training and evaluation of reward models on preferences: Identity-GRPO (arXiv 2510.14256) sections 3.2 and 4.1."""
