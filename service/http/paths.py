"""Paths of the route table, matched once for each request."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.routing import compile_path

from identity_reward_client.errors import MethodNotAllowed, NotFound

from ..auth.tokens import Scope
from ..operations.metrics import OTHER
from .route import Route

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True)
class PathRoutes:
    """A path template with its routes by method. `label` names it in metrics and logs."""

    label: str
    pattern: re.Pattern[str] | None
    routes: Mapping[str, Route]

    @property
    def scope(self) -> Scope:
        """Scope of the token that every request of this path needs, whatever its method."""
        return "admin" if any(route.scope == "admin" for route in self.routes.values()) else "score"

    @property
    def probe(self) -> bool:
        return any(route.probe for route in self.routes.values())

    @property
    def allow(self) -> str:
        """Value of the Allow header."""
        return ", ".join(method for method in _METHODS if method in self.routes)

    def route(self, method: str) -> Route:
        """Raises NotFound for a path that is not in the table, MethodNotAllowed for another method."""
        if not self.routes:
            raise NotFound("no such route; GET /openapi.json lists them")
        if method not in self.routes:
            raise MethodNotAllowed("this route takes another method")
        return self.routes[method]


# every path that is not in the table
UNKNOWN = PathRoutes(OTHER, None, {})


def group_by_path(routes: Sequence[Route]) -> list[PathRoutes]:
    """The routes of each path, in the table's order. GET also answers HEAD."""
    by_path: dict[str, dict[str, Route]] = {}
    for route in routes:
        methods = by_path.setdefault(route.path, {})
        methods[route.method] = route
        if route.method == "GET":
            methods["HEAD"] = route
    return [PathRoutes(template, compile_path(template)[0], methods) for template, methods in by_path.items()]


def find_path(paths: Sequence[PathRoutes], path: str) -> tuple[PathRoutes, dict[str, str]]:
    """The matching path and its parameters; `UNKNOWN` without a match."""
    for candidate in paths:
        if candidate.pattern is not None and (match := candidate.pattern.fullmatch(path)):
            return candidate, match.groupdict()
    return UNKNOWN, {}
