from ipaddress import ip_address

import pytest

from service.settings.settings import Settings, SettingsError
from service.settings.url_rules import HostRule, is_public, may_connect, parse_network
from tests.service.flat_settings import flat_settings


@pytest.mark.parametrize(
    "address",
    ["0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.9.9.9", "169.254.169.254",
     "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
     "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
     "::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::808:808",
     "64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:db8::1", "2002:7f00:1::",
     "3fff::1", "fc00::1", "fd12:3456::1", "fe80::1", "fec0::1", "ff02::1", "4000::1"],
)  # fmt: skip
def test_special_addresses_are_not_public(address):
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.1", "172.32.0.1",
                                     "2606:4700::1111", "2a00:1450:4001:829::200e"])  # fmt: skip
def test_ordinary_addresses_are_public(address):
    assert is_public(ip_address(address))


def test_a_named_network_is_allowed_but_no_other_form_of_its_addresses():
    private = [parse_network("127.0.0.1/32")]
    assert may_connect("127.0.0.1", private)
    for address in ("127.0.0.2", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "fe80::1%eth0", "no address"):
        assert not may_connect(address, private)


@pytest.mark.parametrize(
    ("rule", "scheme", "host", "port", "allowed"),
    [
        ("a.org", "https", "a.org", None, True), ("a.org", "https", "a.org", 443, True),
        ("a.org", "http", "a.org", 80, True), ("a.org", "https", "a.org", 8443, False),
        ("a.org", "https", "b.a.org", None, False), ("a.org", "https", "a.org.", None, False),
        ("a.org", "https", "xa.org", None, False), ("A.org", "https", "a.org", None, True),
        ("a.org:8443", "https", "a.org", 8443, True), ("a.org:8443", "https", "a.org", None, False),
        ("*.a.org", "https", "b.a.org", None, True), ("*.a.org", "https", "c.b.a.org", None, True),
        ("*.a.org", "https", "a.org", None, False), ("*.a.org", "https", "ba.org", None, False),
        ("[2606:4700::1111]:99", "https", "2606:4700::1111", 99, True),
    ],
)  # fmt: skip
def test_host_rules_match_scheme_host_and_port(rule, scheme, host, port, allowed):
    assert HostRule.parse(rule).allows(scheme, host, port) is allowed


@pytest.mark.parametrize("text", ["*", "*.", "a.*", "*a.org", "https://a.org", "a.org/x", "u@a.org", "a.org:0",
                                  "a.org:x", "a.org:99999", "a.org?x", ":443"])  # fmt: skip
def test_a_bad_host_is_a_settings_error(text):
    with pytest.raises(SettingsError, match="is not a host such as"):
        flat_settings(url_hosts=text)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"url_private_networks": "10.0.0.1/8"}, "'10.0.0.1/8' is not a network"),
        ({"url_private_networks": "all"}, "'all' is not a network"),
        ({"path_roots": "clips"}, "'clips' is not an absolute path of a folder"),
        ({"path_roots": "/no/such/folder"}, "is not an absolute path of a folder"),
        ({"path_roots": "/usr/.."}, "is not an absolute path of a folder"),
    ],
)
def test_bad_networks_and_roots_are_settings_errors(fields, message):
    with pytest.raises(SettingsError, match=message):
        flat_settings(**fields)


def test_url_settings_reach_a_child_process(monkeypatch):
    parent = flat_settings(
        url_hosts=("a.org", "*.b.org:8443"), url_private_networks=("10.0.0.0/8",), path_roots=("/usr",)
    )
    for name, value in parent.environment().items():
        monkeypatch.setenv(name, value)
    assert Settings.load() == parent
