"""Updates of a policy from a sampled and scored rollout."""
