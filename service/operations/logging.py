"""Log lines as text or JSON: with the request's id, without media, tokens or tracebacks."""

from __future__ import annotations

import logging
from contextvars import ContextVar

from ..errors import error_location
from ..scheduling.call import Call

# id of the request that is being answered; transports set it
current_request_id: ContextVar[str | None] = ContextVar("current_request_id", default=None)

_access_log = logging.getLogger("identity_reward.access")
_SERVER_LOGGERS = ("", "bentoml", "uvicorn.error", "circus")


class RequestIdFilter(logging.Filter):
    """Sets `request_id` on every record, over the span id that BentoML sets."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = current_request_id.get()
        return True


class NoTracebackFilter(logging.Filter):
    """Replaces tracebacks, which may quote requests, by the error's type and place."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            record.msg, record.args = f"{record.getMessage()}: {error_location(record.exc_info[1])}", None
            record.exc_info = record.exc_text = None
        return not str(record.msg).startswith("Traceback ")


def configure_logging(as_json: bool) -> None:
    """Adds the filters to the handlers, not to the loggers: a logger's filter does not see its children's records."""
    formatter = _json_formatter() if as_json else None
    for name in _SERVER_LOGGERS:
        for handler in logging.getLogger(name).handlers:
            if not any(isinstance(existing, NoTracebackFilter) for existing in handler.filters):
                handler.addFilter(NoTracebackFilter())
                handler.addFilter(RequestIdFilter())
            if formatter is not None:
                handler.setFormatter(formatter)
    for name in ("uvicorn.error", "circus"):
        logging.getLogger(name).propagate = False  # BentoML gives them the root's handler too: lines would come twice
    logging.getLogger("identity_reward").setLevel(logging.INFO)


def log_access(call: Call, route: str, status: int, code: str | None, seconds: float) -> None:
    """Logs one answered request; `code` is that of its error."""
    fields = {
        "route": route,
        "status": status,
        "ms": round(1000 * seconds, 1),
        "client": call.client,
        "priority": call.priority,
        **({} if code is None else {"code": code}),
    }
    line = " ".join(f"{name}={value}" for name, value in {"request_id": call.request_id, **fields}.items())
    _access_log.info(line, extra=fields)


def _json_formatter() -> logging.Formatter:
    from pythonjsonlogger.core import RESERVED_ATTRS  # optional dependency
    from pythonjsonlogger.json import JsonFormatter

    return JsonFormatter(
        "%(levelname)s %(name)s %(message)s",
        rename_fields={"levelname": "level", "name": "logger"},
        timestamp="time",
        # attributes that BentoML adds for its own format
        reserved_attrs=[*RESERVED_ATTRS, "levelname_bracketed", "component", "trace_msg", "service_name"],
    )
