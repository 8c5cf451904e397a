"""The first stage of a small model from scratch: its vision tower learns to tell rendered heads apart."""
