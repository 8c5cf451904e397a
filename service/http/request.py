"""A request as route handlers receive it: authenticated, with its decoded message and the services behind the API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from starlette.datastructures import QueryParams

from identity_reward_client.errors import InvalidRequest, NotFound

from ..engine.engine import ScoringEngine
from ..errors import stopping_error
from ..jobs.service import Jobs
from ..operations.metrics import Metrics
from ..scheduling.call import Call

M = TypeVar("M")


@dataclass
class Services:
    """Services that handlers call. The server sets `engine` at its start, and `jobs` if it takes bulk jobs."""

    metrics: Metrics
    engine: ScoringEngine | None = None
    jobs: Jobs | None = None


@dataclass(frozen=True)
class ApiRequest(Generic[M]):
    """`message` is what the body was decoded to; None for routes that take no body."""

    message: M
    call: Call
    path_params: Mapping[str, str]
    query: QueryParams
    services: Services

    @property
    def engine(self) -> ScoringEngine:
        if self.services.engine is None:
            raise stopping_error()
        return self.services.engine

    @property
    def jobs(self) -> Jobs:
        if self.services.jobs is None:
            raise NotFound("this server takes no jobs: it is started without jobs_path, a file to keep them in")
        return self.services.jobs

    def query_number(self, name: str, default: int) -> int:
        """A whole number from the query. Raises InvalidRequest."""
        text = self.query.get(name)
        if text is None:
            return default
        if not text.isdecimal() or len(text) > 15:
            raise InvalidRequest(f"{name} must be a whole number from 0 on")
        return int(text)
