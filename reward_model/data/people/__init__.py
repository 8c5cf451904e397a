"""Data sets of synthetic people, rendered or photographed, with known identities and known corruptions."""
