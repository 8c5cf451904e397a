"""A GRPO run: its task in the run loop of reward training, updates, averaged weights, and what is measured."""
