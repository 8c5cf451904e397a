"""OpenTelemetry spans of requests and their stages, when an endpoint is set; nothing of it is imported otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..scheduling.call import Call
from ..settings.settings import Settings

# tries included, so that a collector that is away does not hold up the end of the process
_EXPORT_S = 3
# (name, seconds that it took, seconds that have passed since its end)
Stage = Callable[[str, float, float], None]


def no_stage(name: str, seconds: float, ago_s: float) -> None: ...


class Tracer:
    """A span for each request, the caller's `traceparent` its parent, and one in it for each stage.

    Attributes are counts and names: no media, no tokens, no prompts. What is exported goes in batches from a thread.
    """

    def __init__(self, settings: Settings):
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
        """Around a request; what it gives records a stage, from any thread."""
        if self._provider is None:
            yield no_stage
            return
        from opentelemetry.trace import SpanKind, set_span_in_context

        parent = self._propagator.extract({"traceparent": call.traceparent} if call.traceparent else {})
        about = {"request_id": call.request_id, "priority": call.priority, **attributes}
        with self._tracer.start_as_current_span(
            name, parent, SpanKind.SERVER, about, record_exception=False
        ) as span:  # an exception's text may quote the request
            inside = set_span_in_context(span)

            def stage(name: str, seconds: float, ago_s: float) -> None:
                end = time.time_ns() - int(ago_s * 1e9)
                self._tracer.start_span(name, inside, start_time=end - int(seconds * 1e9)).end(end)

            yield stage

    def close(self) -> None:
        """Sends what is left."""
        if self._provider is not None:
            self._provider.shutdown()
