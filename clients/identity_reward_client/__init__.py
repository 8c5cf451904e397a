"""Client of the Identity Reward service. Names load on first use, so that importing a part costs that part alone."""

from importlib import import_module

_HOME = {
    "HttpRewardClient": "http_client",
    "GrpcRewardClient": "grpc_client",
    "FakeRewardClient": "fake",
    "Frames": "tensors",
    "Picture": "tensors",
    "RetryPolicy": "retry",
    "RewardClient": "base",
    "SyncRewardClient": "base",
    "RewardError": "errors",
    "FrameSampling": "frame_sampling",
    "Preference": "preference",
    "local_client": "local",
}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)
