"""Certificates of the gRPC port: checked before the server starts, read when it listens."""

from __future__ import annotations

import ssl
from pathlib import Path

import grpc

from ..settings.settings import Settings, SettingsError


def check_tls(settings: Settings) -> None:
    """Raises SettingsError, of one line, for files that are missing, are not PEM or do not belong together."""
    certificate, key, client_ca = settings.grpc.tls_cert, settings.grpc.tls_key, settings.grpc.tls_client_ca
    if certificate is None or key is None:
        return
    for name, path in (("grpc_tls_cert", certificate), ("grpc_tls_key", key), ("grpc_tls_client_ca", client_ca)):
        if path is not None:
            _check_readable(name, path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")  # without one, OpenSSL asks at the terminal
    except ssl.SSLError as error:
        raise SettingsError(
            f"grpc_tls_cert {certificate} and grpc_tls_key {key} are no PEM certificate and its unencrypted key: "
            f"{error.reason or error}"
        ) from None
    try:
        if client_ca is not None:
            context.load_verify_locations(client_ca)
    except ssl.SSLError as error:
        raise SettingsError(
            f"grpc_tls_client_ca {client_ca} holds no PEM certificate: {error.reason or error}"
        ) from None


def _check_readable(name: str, path: Path) -> None:
    try:
        path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{name} {path} can't be read: {error.strerror}") from None


def credentials(settings: Settings) -> grpc.ServerCredentials | None:
    """Credentials of the port; None for plain text. With a client CA, callers need a certificate that it signed."""
    if settings.grpc.tls_cert is None or settings.grpc.tls_key is None:
        return None
    check_tls(settings)
    pair = (settings.grpc.tls_key.read_bytes(), settings.grpc.tls_cert.read_bytes())
    client_ca = settings.grpc.tls_client_ca
    return grpc.ssl_server_credentials(
        [pair], None if client_ca is None else client_ca.read_bytes(), require_client_auth=client_ca is not None
    )
