import pickle

import pytest

from identity_reward_client.errors import BY_CODE, RewardError
from identity_reward_client.messages import ErrorBody
from identity_reward_client.wire.error_bodies import from_body, to_body


def tree(cls=RewardError):
    return [cls, *(leaf for sub in cls.__subclasses__() if sub.__module__ == cls.__module__ for leaf in tree(sub))]


@pytest.mark.parametrize("cls", tree(), ids=lambda cls: cls.__name__)
def test_every_class_has_a_code_of_its_own_and_crosses_the_wire_and_processes(cls):
    assert BY_CODE[cls.code] is cls
    error = cls("what was wrong", details={"limit": 3}, retry_after_s=2.0)
    body = ErrorBody.model_validate_json(to_body(error).model_dump_json())
    for copy in (from_body(body, 2.0), pickle.loads(pickle.dumps(error))):
        assert type(copy) is cls
        assert (copy.message, copy.details, copy.retry_after_s) == ("what was wrong", {"limit": 3}, 2.0)
        assert copy.retryable is cls.retryable


def test_codes_are_told_apart():
    assert len({cls.code for cls in tree()}) == len(tree())


@pytest.mark.parametrize("retryable", [True, False])
def test_an_unknown_code_keeps_it_and_whether_to_retry(retryable):
    error = from_body(ErrorBody(code="of_next_year", message="new", retryable=retryable))
    assert isinstance(error, RewardError)
    assert error.details["code"] == "of_next_year"
    for copy in (error, pickle.loads(pickle.dumps(error))):
        assert copy.retryable is retryable
    assert RewardError.retryable is False
