"""Face tracks of a clip, their features, and the reward head over them."""
