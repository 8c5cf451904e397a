"""Whether GRPO against a running service lowers how often a policy mixes people up."""
