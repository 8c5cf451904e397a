import pickle

import pytest

from identity_reward_client.errors import (
    BY_CODE,
    DeviceLost,
    InvalidRequest,
    NotReady,
    OutOfMemory,
    RewardError,
    ScoringFailed,
    UnknownError,
)
from identity_reward_client.messages import ErrorBody
from identity_reward_client.wire.error_bodies import from_body, to_body


@pytest.mark.parametrize("cls", BY_CODE.values(), ids=lambda cls: cls.__name__)
def test_error_survives_the_wire(cls):
    assert BY_CODE[cls.code] is cls
    error = cls("what was wrong", details={"limit": 3}, retry_after_s=2.0)
    copy = from_body(ErrorBody.model_validate_json(to_body(error).model_dump_json()), 2.0)
    assert type(copy) is cls
    assert (copy.message, copy.details, copy.retry_after_s) == ("what was wrong", {"limit": 3}, 2.0)
    assert copy.retryable is cls.retryable


@pytest.mark.parametrize("error", [InvalidRequest("bad", details={"field": "fps"}), NotReady("stopping")])
def test_the_body_of_an_error_holds_its_code_message_and_details(error):
    message = to_body(error)
    assert (message.code, message.message, message.retryable) == (error.code, error.message, error.retryable)
    assert message.details == error.details


@pytest.mark.parametrize("cls", [OutOfMemory, DeviceLost])
def test_error_without_a_code_of_its_own_travels_as_its_base(cls):
    assert type(from_body(to_body(cls("cuda:0")))) is ScoringFailed


@pytest.mark.parametrize("retryable", [True, False])
def test_unknown_code_keeps_its_code_and_retryability(retryable):
    error = from_body(ErrorBody(code="of_next_year", message="new", retryable=retryable))
    assert isinstance(error, UnknownError)
    assert error.details["code"] == "of_next_year"
    for copy in (error, pickle.loads(pickle.dumps(error))):
        assert copy.retryable is retryable
    assert RewardError.retryable is False
