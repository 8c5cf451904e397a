"""Client of the Identity Reward service. Names load on first use, so that importing a part costs that part alone."""

from importlib import import_module

_HOME = {
    "HttpRewardClient": "transports.http",
    "GrpcRewardClient": "transports.grpc",
    "FakeRewardClient": "fake",
    "Frames": "inputs.tensors",
    "Picture": "inputs.tensors",
    "RetryPolicy": "transports.retry",
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
