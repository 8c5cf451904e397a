"""What is shut off in BentoML and below it before it serves: pickle, forms, URL downloads, endless request heads,
callers' trace flags, talkative logs."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import Any

import _bentoml_impl.serde as serde
from opentelemetry.context import Context
from opentelemetry.propagate import set_global_textmap
from opentelemetry.propagators.textmap import TextMapPropagator

from ..errors import where
from ..http import protocol as http_guard


def shut_off() -> None:
    """Safe to call more than once; in force for the process."""
    serializers: dict[str, Any] = serde.ALL_SERDE  # type: ignore[assignment]
    for media_type in set(serializers) - {"application/json"}:
        del serializers[media_type]
    serde.make_safe_connect = _refuse
    # a sampled `traceparent` would be recorded even at sample rate 0, so that any caller could switch tracing on
    set_global_textmap(_NoPropagation())
    http_guard.guard()


class _NoPropagation(TextMapPropagator):
    """Every request starts a trace of its own."""

    def extract(self, carrier, context=None, getter=None) -> Context:
        return context or Context()

    def inject(self, carrier, context=None, setter=None) -> None:
        pass

    @property
    def fields(self) -> set[str]:
        return set()


@contextmanager
def _refuse():
    raise ConnectionRefusedError("downloads are off")
    yield


class QuietFilter(logging.Filter):
    """No tracebacks (they may quote requests): the error's type and place instead, and nothing for callers' faults."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if record.name == "bentoml._internal.server.http_app" and _callers_fault(error):
            return False
        if error is not None:
            record.msg, record.args = f"{record.getMessage()}: {where(error)}", None
            record.exc_info = record.exc_text = None
        return not str(record.msg).startswith("Traceback ")


def _callers_fault(error: BaseException | None) -> bool:
    from bentoml.exceptions import BentoMLException
    from pydantic import ValidationError

    return isinstance(error, ValidationError) or (isinstance(error, BentoMLException) and error.error_code < 500)
