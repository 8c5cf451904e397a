"""`identity-reward grpo sample`: videos of a policy with and without an adapter, and their comparison."""
