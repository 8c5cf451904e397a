from email.utils import formatdate

import httpx
import pytest

from identity_reward_client.transports.http_errors import retry_after_s


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7),
        ("0.5", 0.5),
        ("-3", 0),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        (formatdate(1030, usegmt=True), 30),
        (formatdate(900, usegmt=True), 0),
    ],
    ids=str,
)
def test_retry_after_is_read_as_number_or_date(value, seconds):
    response = httpx.Response(503, headers={} if value is None else {"Retry-After": value})
    assert retry_after_s(response, now=1000) == seconds
