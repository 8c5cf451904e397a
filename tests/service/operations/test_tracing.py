"""Spans of requests; tests/e2e/api/test_observability.py sends them to a collector."""

import pytest
from opentelemetry.exporter.otlp.proto.http import trace_exporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from service.operations.tracing import Tracer, no_stage
from service.scheduling.call import Call
from tests.service.flat_settings import flat_settings

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def exporter(monkeypatch):
    """In the place of the one that sends spans to the endpoint."""
    exporter = InMemorySpanExporter()
    monkeypatch.setattr(exporter, "shutdown", lambda: None)  # it would clear the spans
    monkeypatch.setattr(trace_exporter, "OTLPSpanExporter", lambda endpoint, timeout: exporter)
    return exporter


@pytest.fixture
def tracer(exporter) -> Tracer:
    return Tracer(flat_settings(otlp_endpoint="http://127.0.0.1:9/v1/traces"))


def test_without_an_endpoint_nothing_is_recorded():
    tracer = Tracer(flat_settings())
    with tracer.request("score", Call(), {}) as record:
        assert record is no_stage
        record("decode", 1.0, 0.0)
    tracer.close()


@pytest.mark.parametrize("traceparent", [None, f"00-{TRACE}-{SPAN}-01"])
def test_stages_are_children_of_the_request_and_it_of_the_caller(tracer, exporter, traceparent):
    call = Call("abc", priority="rollout", traceparent=traceparent)
    with tracer.request("score", call, {"model": "tiny"}) as record:
        record("decode", 2.0, 1.0)
    tracer.close()
    stage, request = exporter.get_finished_spans()
    assert (stage.name, request.name) == ("decode", "score")
    assert stage.parent.span_id == request.context.span_id
    assert stage.end_time - stage.start_time == 2_000_000_000
    assert request.attributes == {"request_id": "abc", "priority": "rollout", "model": "tiny"}
    if traceparent is None:
        assert request.parent is None
    else:
        assert (f"{request.context.trace_id:032x}", f"{request.parent.span_id:016x}") == (TRACE, SPAN)


def test_the_text_of_an_error_is_not_recorded(tracer, exporter):
    with pytest.raises(KeyError), tracer.request("score", Call(), {}):
        raise KeyError("a secret")
    tracer.close()
    (span,) = exporter.get_finished_spans()
    assert not span.events
    assert (span.status.is_ok, span.status.description) == (False, "KeyError")
