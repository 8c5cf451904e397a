"""OpenTelemetry spans of requests and their stages. OpenTelemetry is imported only if an endpoint is set."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..scheduling.call import Call
from ..settings.settings import Settings

# seconds for one export, retries included: a collector that is down must not delay the end of the process
_EXPORT_S = 3
# (name, duration in seconds, seconds since its end)
Stage = Callable[[str, float, float], None]


def no_stage(name: str, seconds: float, ago_s: float) -> None:
    """Records nothing."""


class Tracer:
    """A span for each request, under the caller's `traceparent`, with a child span for each stage.

    Attributes are counts and names: no media, no tokens, no prompts. A thread exports the spans in batches.
    """

    def __init__(self, settings: Settings) -> None:
        self._provider: Any = None
        if settings.operations.otlp_endpoint is None:
            return
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = TracerProvider(
            resource=Resource.create({"service.name": "identity-reward"}),
            sampler=ParentBased(TraceIdRatioBased(settings.operations.trace_sample_ratio)),
        )
        self._provider.add_span_processor(
            BatchSpanProcessor(OTLPSpanExporter(settings.operations.otlp_endpoint, timeout=_EXPORT_S))
        )
        self._tracer = self._provider.get_tracer("identity_reward")
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def request(self, name: str, call: Call, attributes: Mapping[str, str | int]) -> Iterator[Stage]:
        """A context manager around a request. Its value records a finished stage, from any thread."""
        if self._provider is None:
            yield no_stage
            return
        from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context

        parent = self._propagator.extract({"traceparent": call.traceparent} if call.traceparent else {})
        span_attributes = {"request_id": call.request_id, "priority": call.priority, **attributes}
        # of an exception only its type is recorded: its text may quote the request
        with self._tracer.start_as_current_span(
            name, parent, SpanKind.SERVER, span_attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            parent_context = set_span_in_context(span)

            def stage(name: str, seconds: float, ago_s: float) -> None:
                end = time.time_ns() - int(ago_s * 1e9)
                self._tracer.start_span(name, parent_context, start_time=end - int(seconds * 1e9)).end(end)

            try:
                yield stage
            except Exception as error:
                span.set_status(Status(StatusCode.ERROR, type(error).__name__))
                raise

    def close(self) -> None:
        """Exports the remaining spans."""
        if self._provider is not None:
            self._provider.shutdown()
