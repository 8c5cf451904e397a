"""Features of BentoML that are switched off before it serves: pickle, forms, URL downloads, callers' trace flags."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from _bentoml_impl import serde
from opentelemetry.context import Context
from opentelemetry.propagate import set_global_textmap
from opentelemetry.propagators.textmap import TextMapPropagator


def harden_bentoml() -> None:
    """For the whole process; may be called more than once."""
    serializers: dict[str, Any] = serde.ALL_SERDE  # type: ignore[assignment]
    for media_type in set(serializers) - {"application/json"}:
        del serializers[media_type]
    serde.make_safe_connect = _refuse_connection
    # a `traceparent` with the sampled flag is recorded even at sample rate 0: any caller could switch tracing on
    set_global_textmap(_NoPropagation())


class _NoPropagation(TextMapPropagator):
    """Propagator of BentoML's spans: ignores the caller's trace context, which `tracing.Tracer` reads itself."""

    def extract(self, carrier: Any, context: Context | None = None, getter: Any = None) -> Context:
        return context or Context()

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = None) -> None:
        pass

    @property
    def fields(self) -> set[str]:
        return set()


@contextmanager
def _refuse_connection() -> Iterator[None]:
    raise ConnectionRefusedError("downloads are off")
    yield
