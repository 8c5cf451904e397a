import socket

import pytest

from service.auth.binding import check_address, check_sockets
from service.settings.settings import Settings, SettingsError
from tests.service.flat_settings import flat_settings


@pytest.mark.parametrize("address", ["0.0.0.0", "::", "10.1.2.3", "192.168.0.9", "::ffff:127.0.0.1"])
def test_addresses_beyond_loopback_require_tokens_or_a_flag(address, tmp_path):
    with pytest.raises(SettingsError, match=f"{address} can be reached from other machines") as caught:
        check_address(Settings(), address)
    assert "\n" not in str(caught.value)
    check_address(flat_settings(tokens_path=tmp_path / "tokens"), address)
    check_address(flat_settings(allow_anonymous=True), address)


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.9", "::1"])
def test_loopback_requires_nothing(address):
    check_address(Settings(), address)


def test_listening_sockets_of_the_process_are_checked_whoever_opened_them():
    with socket.create_server(("127.0.0.1", 0)):
        check_sockets(Settings())
        with socket.create_server(("0.0.0.0", 0)):
            with pytest.raises(SettingsError, match=r"0\.0\.0\.0 can be reached"):
                check_sockets(Settings())
            check_sockets(flat_settings(allow_anonymous=True))
