"""The plan of a run by arithmetic, memory and forward passes, and the checks of `--dry-run`."""
