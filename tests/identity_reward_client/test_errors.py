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
    UnknownError,
    server_errors,
)

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


def test_codes_are_unique():
    assert len({cls.code for cls in ON_THE_WIRE}) == len(ON_THE_WIRE)
    assert all(BY_CODE[cls.code] is cls for cls in ON_THE_WIRE)


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
