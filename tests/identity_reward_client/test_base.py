import inspect
from typing import Unpack, get_type_hints

import numpy as np
import pytest

from identity_reward_client import (
    FakeRewardClient,
    GrpcRewardClient,
    HttpRewardClient,
    RewardClient,
    SyncRewardClient,
)
from identity_reward_client.base import CompareOptions, GroupOptions, ScoreOptions, request_fields
from service.local import LocalRewardClient

CLIENTS = [RewardClient, FakeRewardClient, GrpcRewardClient, HttpRewardClient, LocalRewardClient, SyncRewardClient]
OPTIONS = {"score": ScoreOptions, "compare": CompareOptions, "score_group": GroupOptions}


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.__name__)
@pytest.mark.parametrize("method", OPTIONS)
def test_every_client_has_the_same_typed_arguments(client, method):
    """What an editor completes and a type checker checks follows from these annotations."""
    function, expected = getattr(client, method), getattr(RewardClient, method)
    assert list(inspect.signature(function).parameters) == list(inspect.signature(expected).parameters)
    hints = get_type_hints(function)
    assert hints == get_type_hints(expected)
    assert hints["options"] == Unpack[OPTIONS[method]]


def test_options_have_their_keys():
    assert list(ScoreOptions.__annotations__) == ["fps", "prompt", "model", "details"]
    assert list(GroupOptions.__annotations__) == ["fps", "prompt", "model", "details", "theta", "matrices"]


@pytest.mark.parametrize("options", [{"promt": "two people"}, {"matrices": True}])
async def test_unknown_option_is_a_type_error(options):
    with pytest.raises(TypeError, match=f"unknown option '{next(iter(options))}'; there are fps, prompt"):
        await FakeRewardClient().score([b"jpg"], np.zeros((3, 8, 8, 3), np.uint8), **{"fps": 8, **options})


def test_fields_of_a_request_are_the_options_that_are_set():
    options: GroupOptions = {"fps": 8, "prompt": None, "details": False, "theta": 3.0}
    assert request_fields(options, GroupOptions) == {"details": False, "theta": 3.0}
