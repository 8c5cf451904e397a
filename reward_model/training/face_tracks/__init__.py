"""Training of the `face-tracks` scorer: features of clips, the pairs of people, and an ensemble of small networks."""
