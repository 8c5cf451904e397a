import json
import pickle
import subprocess
import sys

import pytest

from identity_reward_client.errors import (
    BY_CODE,
    DeviceLost,
    OutOfMemory,
    ReferenceWithoutFace,
    RewardError,
    ScoringFailed,
    UnknownError,
    server_errors,
)
from identity_reward_client.messages import ErrorBody
from identity_reward_client.wire.error_bodies import from_body, to_body

LISTING = """
import json
from identity_reward_client.errors import server_errors
print(json.dumps([[cls.code, cls.http_status, cls.grpc_status, cls.retryable, cls.meaning] for cls in server_errors()]))
"""


def tree(cls=RewardError):
    return [cls, *(leaf for sub in cls.__subclasses__() if sub.__module__ == cls.__module__ for leaf in tree(sub))]


# classes that travel under the code of their base
LOCAL = (OutOfMemory, DeviceLost, UnknownError)
ON_THE_WIRE = [cls for cls in tree() if cls not in LOCAL]


@pytest.mark.parametrize("cls", tree(), ids=lambda cls: cls.__name__)
def test_error_survives_pickling(cls):
    error = cls("what was wrong", details={"limit": 3}, retry_after_s=2.0)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is cls
    assert (copy.message, copy.details, copy.retry_after_s) == ("what was wrong", {"limit": 3}, 2.0)


@pytest.mark.parametrize("cls", ON_THE_WIRE, ids=lambda cls: cls.__name__)
def test_error_survives_the_wire(cls):
    assert BY_CODE[cls.code] is cls
    error = cls("what was wrong", details={"limit": 3}, retry_after_s=2.0)
    copy = from_body(ErrorBody.model_validate_json(to_body(error).model_dump_json()), 2.0)
    assert type(copy) is cls
    assert (copy.message, copy.details, copy.retry_after_s) == ("what was wrong", {"limit": 3}, 2.0)
    assert copy.retryable is cls.retryable


def test_codes_are_unique():
    assert len({cls.code for cls in ON_THE_WIRE}) == len(ON_THE_WIRE)


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


def test_every_class_has_a_meaning_of_its_own():
    assert len({cls.meaning for cls in tree()}) == len(tree())


def test_only_errors_about_references_concern_the_whole_group():
    assert [cls for cls in tree() if cls.whole_group] == [ReferenceWithoutFace]


def test_listing_is_the_same_when_python_strips_docstrings():
    command = [sys.executable, "-OO", "-c", LISTING]
    stripped = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert [row[0] for row in stripped] == [cls.code for cls in server_errors()]
    for cls, row in zip(server_errors(), stripped, strict=True):
        assert row[1:] == [cls.http_status, cls.grpc_status, cls.retryable, cls.meaning]
