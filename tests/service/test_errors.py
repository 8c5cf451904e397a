import logging

import pytest

from identity_reward_client.errors import InternalError, InvalidRequest
from service.errors import body, stopping, typed, where


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


def test_typed_errors_are_unchanged():
    error = InvalidRequest("bad")
    assert typed(error) is error


def test_other_errors_become_internal_and_are_logged_without_their_text(caplog):
    with caplog.at_level(logging.ERROR):
        error = typed(raised(ValueError("secret")))
    assert isinstance(error, InternalError)
    assert "secret" not in error.message
    assert "secret" not in caplog.text
    assert "ValueError at test_errors.py" in caplog.text


def test_the_innermost_frames_of_an_error_are_named():
    text = where(raised(KeyError("secret")))
    assert text.startswith("KeyError at test_errors.py:")
    assert text.endswith(" raised")
    assert where(ValueError("never raised")) == "ValueError at "


@pytest.mark.parametrize("error", [InvalidRequest("bad", details={"field": "fps"}), stopping()])
def test_the_body_of_an_error_holds_its_code_message_and_details(error):
    message = body(error)
    assert (message.code, message.message, message.retryable) == (error.code, error.message, error.retryable)
    assert message.details == error.details
