"""Bulk jobs as a transport sees them: manifests in, progress and results out, every failure a RewardError."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from identity_reward_client.errors import InvalidRequest, NotFound
from identity_reward_client.wire.job_messages import JobInfo, JobList

from ..engine.engine import ScoringEngine
from ..errors import body, stopping
from ..operations.metrics import Metrics
from ..scheduling.call import Call
from ..settings.settings import Settings
from .runner import JobRunner
from .store import Job, JobStore

MAX_LISTED = 1000
MAX_RESULTS = 1000


class Jobs:
    """A job belongs to the client that sent it; for any other but an admin it isn't there."""

    def __init__(self, store: JobStore, runner: JobRunner, engine: ScoringEngine):
        self._store = store
        self._runner = runner
        self._engine = engine

    @classmethod
    async def open(cls, settings: Settings, engine: ScoringEngine, metrics: Metrics) -> Jobs | None:
        """None where `jobs_path` names no file. Conflict or InvalidRequest where that can't be used."""
        limits = settings.jobs
        if limits.jobs_path is None:
            return None
        store = await asyncio.to_thread(JobStore, limits.jobs_path, limits.max_jobs_bytes, limits.max_job_items)
        metrics.watch_jobs(lambda: store.waiting)
        runner = JobRunner(store, engine, metrics, limits.max_running_job_items, limits.job_lifetime_s)
        return cls(store, runner, engine)

    def start(self) -> None:
        """What waits in the file goes on; the engine has started."""
        self._runner.start()

    async def drain(self, within_s: float) -> None:
        """Takes no further item and waits for those under way; what has no result then stays waiting on the disk."""
        await self._runner.stop(within_s)

    async def close(self) -> None:
        await self._runner.stop(0)
        self._store.close()

    async def submit(self, manifest: bytes, call: Call) -> JobInfo:
        """The job is on the disk when this returns. InvalidRequest names bad lines, and then nothing is kept."""
        if not self._engine.ready:
            raise stopping()
        job = await self._store.run(
            self._store.submit, call.client, call.idempotency_key, manifest, lambda name: self._engine.model(name).name
        )
        self._runner.wake()
        return self._info(job)

    async def list(self, call: Call, after: str | None = None, limit: int = 100) -> JobList:
        _check_limit(limit, MAX_LISTED)
        client = None if call.admin else call.client
        jobs = await self._store.run(self._store.jobs, client, after, limit + 1)
        shown = jobs[:limit]
        return JobList(jobs=list(map(self._info, shown)), next=shown[-1].id if len(jobs) > limit else None)

    async def info(self, identity: str, call: Call) -> JobInfo:
        return self._info(await self._find(identity, call))

    async def results(self, identity: str, call: Call, after: int = 0, limit: int = MAX_RESULTS) -> bytes:
        """JobResults as JSONL in the order in which they came, from behind number `after`."""
        _check_limit(limit, MAX_RESULTS)
        job = await self._find(identity, call)
        return await self._store.run(self._store.results, job.number, after, limit)

    async def cancel(self, identity: str, call: Call) -> JobInfo:
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
        error = self._runner.held_up(job.number) if job.finished_at is None else None
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
            held_up=None if error is None else body(error),
        )


def _check_limit(limit: int, most: int) -> None:
    if not 1 <= limit <= most:
        raise InvalidRequest(f"limit must be 1 to {most}, got {limit}")


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
