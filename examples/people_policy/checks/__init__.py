"""What a reward sees of the world of this policy, and of what the policy generates."""
