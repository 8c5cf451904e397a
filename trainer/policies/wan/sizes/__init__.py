"""Sizes of Wan policies for the plan of a run, from the files of a checkpoint and by arithmetic of its transformer."""
