"""What a run writes beside its model: evaluations, contact sheets, its record, and values for trackers."""
