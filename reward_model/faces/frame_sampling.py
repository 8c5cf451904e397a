"""Frame sampling of `face-tracks`, for the scorer and for its training."""

from identity_reward_client.frame_sampling import FrameSampling

# of a 5 s clip a frame every third of a second; two people in it take about half a second
FACE_TRACKS = FrameSampling("uniform-16", num_frames=16)
