import pytest

from identity_reward_client.errors import InvalidRequest
from identity_reward_client.wire.headers import authorization

TOKEN = "idr_not-a-real-token"


@pytest.mark.parametrize("text", [TOKEN, f"{TOKEN}\n", f" {TOKEN}\r\n"])
def test_white_space_around_a_token_is_removed(text):
    assert authorization(text) == f"Bearer {TOKEN}"


@pytest.mark.parametrize("text", [None, "", "\n"])
def test_no_token_is_no_header(text):
    assert authorization(text) is None


@pytest.mark.parametrize("text", [f"{TOKEN}\nsecond line", f"{TOKEN} x", f"{TOKEN}\u2026", f"{TOKEN}\0"])
def test_token_that_a_header_cannot_hold_is_refused_without_showing_it(text):
    with pytest.raises(InvalidRequest, match="the token contains") as caught:
        authorization(text)
    assert "not-a-real-token" not in str(caught.value)
