"""Which frames `face-tracks` looks at, for the scorer and for its training."""

from identity_reward_client.frame_sampling import FrameSampling

# Of a 5 s clip a frame every third of a second: two people in it cost about half a second.
FACE_TRACKS = FrameSampling("uniform-16", num_frames=16)
