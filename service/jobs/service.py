"""Bulk jobs as transports use them: manifests in, progress and results out, every failure a RewardError."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from identity_reward_client.errors import InvalidRequest, NotFound
from identity_reward_client.wire.error_bodies import to_body
from identity_reward_client.wire.job_messages import JobInfo, JobList

from ..engine.engine import ScoringEngine
from ..errors import stopping_error
from ..operations.metrics import Metrics
from ..scheduling.call import Call
from ..settings.settings import Settings
from .runner import JobRunner
from .store import Job, JobStore

MAX_LISTED = 1000
MAX_RESULTS = 1000


class Jobs:
    """Jobs by client: only the client that sent a job, and admins, can see it."""

    def __init__(self, store: JobStore, runner: JobRunner, engine: ScoringEngine):
        self._store = store
        self._runner = runner
        self._engine = engine

    @classmethod
    async def open(cls, settings: Settings, engine: ScoringEngine, metrics: Metrics) -> Jobs | None:
        """Opens the jobs of `jobs_path`; None if it is unset.

        Raises Conflict or InvalidRequest for a file that can't be used.
        """
        limits = settings.jobs
        if limits.jobs_path is None:
            return None
        store = await asyncio.to_thread(JobStore, limits.jobs_path, limits.max_jobs_bytes, limits.max_job_items)
        metrics.watch_jobs(lambda: store.num_waiting)
        runner = JobRunner(store, engine, metrics, limits.max_running_job_items, limits.job_lifetime_s)
        return cls(store, runner, engine)

    def start(self) -> None:
        """Start scoring the items in the file. The engine must have started."""
        self._runner.start()

    async def drain(self, timeout_s: float) -> None:
        """Start no further item and wait for running ones; items without a result stay on disk."""
        await self._runner.stop(timeout_s)

    async def close(self) -> None:
        """Stop at once and close the file."""
        await self._runner.stop(0)
        self._store.close()

    async def submit(self, manifest: bytes, call: Call) -> JobInfo:
        """Store a job; it is on disk when this returns. InvalidRequest names bad lines, and then nothing is stored."""
        if not self._engine.ready:
            raise stopping_error()
        job = await self._store.run(
            self._store.submit, call.client, call.idempotency_key, manifest, lambda name: self._engine.model(name).name
        )
        self._runner.wake()
        return self._info(job)

    async def list(self, call: Call, after: str | None = None, limit: int = 100) -> JobList:
        """A page of the caller's jobs, the newest first, of those older than the job `after`."""
        _check_limit(limit, MAX_LISTED)
        client = None if call.admin else call.client
        jobs = await self._store.run(self._store.jobs, client, after, limit + 1)
        page = jobs[:limit]
        return JobList(jobs=list(map(self._info, page)), next=page[-1].id if len(jobs) > limit else None)

    async def info(self, identity: str, call: Call) -> JobInfo:
        """State and progress of a job. Raises NotFound."""
        return self._info(await self._find(identity, call))

    async def results(self, identity: str, call: Call, after: int = 0, limit: int = MAX_RESULTS) -> bytes:
        """Results with a number above `after`, as JSON lines in the order in which they were recorded."""
        _check_limit(limit, MAX_RESULTS)
        job = await self._find(identity, call)
        return await self._store.run(self._store.results, job.number, after, limit)

    async def cancel(self, identity: str, call: Call) -> JobInfo:
        """Stop scoring a job; its results stay."""
        job = await self._find(identity, call)
        cancelled = await self._store.run(self._store.cancel, job.number)
        self._runner.forget(job.number)
        return self._info(cancelled)

    async def _find(self, identity: str, call: Call) -> Job:
        job = await self._store.run(self._store.job, identity, None if call.admin else call.client)
        if job is None:
            raise NotFound("no such job of yours; finished ones are kept for job_lifetime_s")
        return job

    def _info(self, job: Job) -> JobInfo:
        waiting = job.total - job.done
        rate = self._runner.rate(job.number) if job.state == "running" else None
        error = self._runner.blocking_error(job.number) if job.finished_at is None else None
        return JobInfo(
            id=job.id,
            state=job.state,
            total=job.total,
            done=job.done,
            failed=job.failed,
            waiting=waiting,
            created_at=_utc(job.created_at),
            started_at=None if job.started_at is None else _utc(job.started_at),
            finished_at=None if job.finished_at is None else _utc(job.finished_at),
            items_per_s=rate,
            eta_s=None if rate is None else waiting / rate,
            held_up=None if error is None else to_body(error),
        )


def _check_limit(limit: int, maximum: int) -> None:
    if not 1 <= limit <= maximum:
        raise InvalidRequest(f"limit must be 1 to {maximum}, got {limit}")


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
