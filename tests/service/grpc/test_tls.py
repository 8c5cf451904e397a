"""TLS and mTLS with certificates of a test authority, and errors of unusable files."""

import pytest
import trustme

from identity_reward_client.errors import ConnectionFailed
from identity_reward_client.transports.grpc import GrpcRewardClient
from identity_reward_client.transports.retry import RetryPolicy
from service.grpc.server import GrpcServer
from service.grpc.tls import check_tls
from service.settings.settings import Settings, SettingsError
from tests.service.flat_settings import flat_settings


class Files:
    """PEM files: an authority, its certificates of a server and a client, and one of another authority."""

    def __init__(self, folder):
        authority, other = trustme.CA(), trustme.CA()
        self.ca, self.text, self.gone = folder / "ca.pem", folder / "text.pem", folder / "gone.pem"
        authority.cert_pem.write_to_path(self.ca)
        self.text.write_text("not a certificate")
        self.server = self._pair(folder, "server", authority.issue_cert("localhost", "127.0.0.1"))
        self.client = self._pair(folder, "client", authority.issue_cert("trainer.example"))
        self.untrusted = self._pair(folder, "untrusted", other.issue_cert("trainer.example"))

    @staticmethod
    def _pair(folder, name, issued):
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(key)
        return certificate, key


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def port(request, make_engine, files):
    """Of a server with TLS, or with mTLS where the test asks for it."""
    mutual = {"grpc_tls_client_ca": files.ca} if getattr(request, "param", "tls") == "mtls" else {}
    certificate, key = files.server
    engine = make_engine(grpc_port=0, grpc_tls_cert=certificate, grpc_tls_key=key, **mutual)
    server = GrpcServer(engine, engine.settings, engine.metrics)
    yield int((await server.start()).rsplit(":", 1)[1])
    await server.stop()


async def served(target: str, **options) -> bool:
    client = GrpcRewardClient(target, timeout_s=5, retry=RetryPolicy(max_attempts=1), **options)
    try:
        return [model.name for model in await client.models()] == ["brightness"]
    except ConnectionFailed:
        return False
    finally:
        await client.close()


async def test_a_client_that_trusts_the_authority_is_answered(port, files):
    assert await served(f"grpcs://localhost:{port}", ca_path=files.ca)
    assert await served(f"grpcs://127.0.0.1:{port}", ca_path=files.ca)


async def test_a_client_that_does_not_trust_the_authority_refuses_the_server(port, files):
    assert not await served(f"grpcs://localhost:{port}")
    assert not await served(f"grpcs://localhost:{port}", ca_path=files.untrusted[0])


async def test_plain_text_is_not_answered(port):
    assert not await served(f"grpc://localhost:{port}")


@pytest.mark.parametrize("port", ["mtls"], indirect=True)
async def test_mutual_tls_answers_only_callers_with_a_certificate_of_the_authority(port, files):
    target = f"grpcs://localhost:{port}"
    certificate, key = files.client
    assert await served(target, ca_path=files.ca, cert_path=certificate, key_path=key)
    assert not await served(target, ca_path=files.ca)
    certificate, key = files.untrusted
    assert not await served(target, ca_path=files.ca, cert_path=certificate, key_path=key)


def test_valid_files_pass_the_check(files):
    check_tls(Settings())
    certificate, key = files.server
    check_tls(flat_settings(grpc_tls_cert=certificate, grpc_tls_key=key, grpc_tls_client_ca=files.ca))


@pytest.mark.parametrize(
    ("certificate", "key", "client_ca", "message"),
    [
        ("gone", "server_key", None, "grpc_tls_cert .*gone.pem can't be read: No such file"),
        ("server", "gone", None, "grpc_tls_key .*gone.pem can't be read"),
        ("server", "server_key", "gone", "grpc_tls_client_ca .*gone.pem can't be read"),
        ("text", "server_key", None, "no PEM certificate and its unencrypted key"),
        ("server", "text", None, "no PEM certificate and its unencrypted key"),
        ("server", "client_key", None, "no PEM certificate and its unencrypted key"),
        ("server", "server_key", "text", "grpc_tls_client_ca .*text.pem holds no PEM certificate"),
    ],
)
def test_unusable_files_are_named(files, certificate, key, client_ca, message):
    paths = {
        "gone": files.gone, "text": files.text, "server": files.server[0], "server_key": files.server[1],
        "client_key": files.client[1],
    }  # fmt: skip
    settings = {"grpc_tls_cert": paths[certificate], "grpc_tls_key": paths[key]}
    if client_ca is not None:
        settings["grpc_tls_client_ca"] = paths[client_ca]
    with pytest.raises(SettingsError, match=message):
        check_tls(flat_settings(**settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"grpc_tls_cert": "a"}, "go together"),
        ({"grpc_tls_key": "a"}, "go together"),
        ({"grpc_tls_client_ca": "a"}, "needs grpc_tls_cert"),
        ({"grpc_port": "70000"}, "grpc_port"),
        ({"grpc_keepalive_s": "0"}, "grpc_keepalive_s"),
    ],
)
def test_inconsistent_settings_are_refused(settings, message):
    with pytest.raises(SettingsError, match=message):
        flat_settings(**settings)
