import logging

from identity_reward_client.errors import InternalError, InvalidRequest
from service.errors import error_location, to_reward_error


def raised(error: Exception) -> Exception:
    try:
        raise error
    except type(error) as caught:
        return caught


def test_typed_errors_are_unchanged():
    error = InvalidRequest("bad")
    assert to_reward_error(error) is error


def test_other_errors_become_internal_and_are_logged_without_their_text(caplog):
    with caplog.at_level(logging.ERROR):
        error = to_reward_error(raised(ValueError("secret")))
    assert isinstance(error, InternalError)
    assert "secret" not in error.message
    assert "secret" not in caplog.text
    assert "ValueError at test_errors.py" in caplog.text


def test_the_innermost_frames_of_an_error_are_named():
    text = error_location(raised(KeyError("secret")))
    assert text.startswith("KeyError at test_errors.py:")
    assert text.endswith(" raised")
    assert error_location(ValueError("never raised")) == "ValueError at "
