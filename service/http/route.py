"""A route of the HTTP API: path, verb, messages, errors, scope, content types, documentation and handler."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from pydantic import BaseModel
from starlette.responses import Response

from identity_reward_client.messages import RequestBase

from ..auth.tokens import Scope
from .request import ApiRequest

JSON = "application/json"
HTML = "text/html"
TEXT = "text/plain"

# A message becomes a JSON response with the route's status; a Response is sent as it is; an exception becomes an error.
Handler = Callable[[ApiRequest[Any]], Awaitable[BaseModel | Response]]


class Parameter(NamedTuple):
    name: str
    description: str
    schema: dict[str, Any]


@dataclass(frozen=True)
class Route:
    """One verb of one path. Matching, authentication, decoding, metrics labels and documentation all read it."""

    method: str
    path: str
    handler: Handler
    summary: str
    # a message, or the content type of any other response
    response: type[BaseModel] | str
    # message of the body; of a body of JSON lines, the message of one line; None: the body is ignored
    request: type[BaseModel] | None = None
    content_type: str = JSON
    # a second name of the same content type
    other_content_type: str | None = None
    # content type of a response that is a message, or JSON lines of messages
    response_type: str = JSON
    # status of a response that is not an error
    status: int = 200
    description: str = ""
    # documented error statuses besides 401 and 403
    errors: tuple[int, ...] = ()
    query: tuple[Parameter, ...] = ()
    # of the token, where the server asks for tokens; the strictest one of a path holds for all its verbs
    scope: Scope = "score"
    # called by process supervision; see the setting open_probes
    probe: bool = False

    @property
    def scores(self) -> bool:
        """Whether the request is scored before it is answered."""
        return self.request is not None and issubclass(self.request, RequestBase) and self.status != 202

    @property
    def content_types(self) -> tuple[str, ...]:
        return (self.content_type,) if self.other_content_type is None else (self.content_type, self.other_content_type)
