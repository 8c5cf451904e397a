"""A GRPO run: its task for the run loop, updates, evaluations and what it writes."""
