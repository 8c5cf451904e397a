"""Client of the Identity Reward service: each public name loads on first use, so that unused parts cost nothing."""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers; at run time __getattr__ does it
    from .base import CompareOptions as CompareOptions
    from .base import GroupOptions as GroupOptions
    from .base import RewardClient as RewardClient
    from .base import ScoreOptions as ScoreOptions
    from .errors import RewardError as RewardError
    from .fake import FakeRewardClient as FakeRewardClient
    from .fields.warnings import ScoreWarning as ScoreWarning
    from .fields.warnings import WarningCode as WarningCode
    from .frame_sampling import FrameSampling as FrameSampling
    from .inputs.tensors import Frames as Frames
    from .inputs.tensors import ImageArray as ImageArray
    from .local import local_client as local_client
    from .preference import Preference as Preference
    from .sync import SyncRewardClient as SyncRewardClient
    from .transports.grpc import GrpcRewardClient as GrpcRewardClient
    from .transports.http import HttpRewardClient as HttpRewardClient
    from .transports.retry import RetryPolicy as RetryPolicy

_MODULES = {
    "CompareOptions": "base",
    "FakeRewardClient": "fake",
    "FrameSampling": "frame_sampling",
    "Frames": "inputs.tensors",
    "GroupOptions": "base",
    "GrpcRewardClient": "transports.grpc",
    "HttpRewardClient": "transports.http",
    "ImageArray": "inputs.tensors",
    "Preference": "preference",
    "RetryPolicy": "transports.retry",
    "RewardClient": "base",
    "RewardError": "errors",
    "ScoreOptions": "base",
    "ScoreWarning": "fields.warnings",
    "SyncRewardClient": "sync",
    "WarningCode": "fields.warnings",
    "local_client": "local",
}
# former names, importable until version 0.2
_RENAMED = {"Picture": "ImageArray"}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name in _RENAMED:
        warnings.warn(f"{__name__}.{name} is now {_RENAMED[name]}", DeprecationWarning, stacklevel=2)
        name = _RENAMED[name]
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
