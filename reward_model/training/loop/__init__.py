"""The run loop that every training shares: state, journal, run folder, stopping and resuming."""
