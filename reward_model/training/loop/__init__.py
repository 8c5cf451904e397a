"""One run loop for every kind of training: run folder, state, journal, signals, measurements and the saved model."""
