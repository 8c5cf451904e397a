"""What is logged and how: a line of text or of JSON, with the request's id, without media, tokens or tracebacks."""

from __future__ import annotations

import logging

from ..http.context import current
from .hardening import QuietFilter

ACCESS = logging.getLogger("identity_reward.access")
_LOGGERS = ("", "bentoml", "uvicorn.error", "circus")


class RequestIdFilter(logging.Filter):
    """`request_id` of what is logged while a request is served; BentoML's own is the number of a span."""

    def filter(self, record: logging.LogRecord) -> bool:
        exchange = current.get(None)
        record.request_id = None if exchange is None else exchange.call.request_id
        return True


def set_up(as_json: bool) -> None:
    """On every handler of the server's loggers: a logger's own filter doesn't see what its children pass up."""
    formatter = _json_formatter() if as_json else None
    for name in _LOGGERS:
        for handler in logging.getLogger(name).handlers:
            if not any(isinstance(one, QuietFilter) for one in handler.filters):
                handler.addFilter(QuietFilter())
                handler.addFilter(RequestIdFilter())
            if formatter is not None:
                handler.setFormatter(formatter)
    for name in ("uvicorn.error", "circus"):
        logging.getLogger(name).propagate = False  # BentoML gives them the root's handler too: every line came twice
    logging.getLogger("identity_reward").setLevel(logging.INFO)


def access(route: str, status: int, seconds: float) -> None:
    """One line for an answered request."""
    exchange = current.get()
    call, error = exchange.call, exchange.error
    fields = {
        "route": route,
        "status": status,
        "ms": round(1000 * seconds, 1),
        "client": call.client,
        "priority": call.priority,
        **({} if error is None else {"code": error.code}),
    }
    ACCESS.info(
        " ".join(f"{name}={value}" for name, value in {"request_id": call.request_id, **fields}.items()), extra=fields
    )


def _json_formatter() -> logging.Formatter:
    from pythonjsonlogger.core import RESERVED_ATTRS
    from pythonjsonlogger.json import JsonFormatter

    return JsonFormatter(
        "%(levelname)s %(name)s %(message)s",
        rename_fields={"levelname": "level", "name": "logger"},
        timestamp="time",
        # what BentoML adds for its own lines
        reserved_attrs=[*RESERVED_ATTRS, "levelname_bracketed", "component", "trace_msg", "service_name"],
    )
