import json
import logging

import pytest

from service.operations import logging as server_logging
from service.operations.logging import NoTracebackFilter, RequestIdFilter, current_request_id, log_access
from service.scheduling.call import Call


def record_of(error: Exception) -> logging.LogRecord:
    try:
        raise error
    except Exception as caught:
        return logging.LogRecord("x", 40, "f", 1, "failed", None, (type(caught), caught, caught.__traceback__))


def test_logs_say_where_an_error_was_and_not_its_text():
    record = record_of(ValueError("a secret"))
    assert NoTracebackFilter().filter(record)
    line = logging.Formatter().format(record)
    assert "ValueError at test_logging.py" in line
    assert "secret" not in line
    assert "Traceback" not in line


def test_a_line_that_is_a_traceback_is_dropped():
    record = logging.LogRecord("x", 40, "f", 1, "Traceback (most recent call last): a secret", None, None)
    assert not NoTracebackFilter().filter(record)


def test_records_carry_the_id_of_the_request():
    record = logging.LogRecord("x", 20, "f", 1, "text", None, None)
    RequestIdFilter().filter(record)
    assert record.request_id is None
    token = current_request_id.set("abc")
    try:
        RequestIdFilter().filter(record)
    finally:
        current_request_id.reset(token)
    assert record.request_id == "abc"


@pytest.mark.parametrize("code", [None, "overloaded"])
def test_an_access_line_names_the_route_and_the_error(caplog, code):
    with caplog.at_level(logging.INFO, "identity_reward.access"):
        log_access(Call("abc", client="anna"), "/v1/score", 503, code, 0.25)
    expected = "request_id=abc route=/v1/score status=503 ms=250.0 client=anna priority=interactive"
    assert caplog.messages == [expected if code is None else f"{expected} code={code}"]


def test_json_lines_hold_the_fields():
    record = logging.LogRecord("identity_reward", 20, "f", 1, "text", None, None)
    record.request_id = "abc"
    line = json.loads(server_logging._json_formatter().format(record))
    assert {"level", "logger", "message", "time", "request_id"} <= set(line)
