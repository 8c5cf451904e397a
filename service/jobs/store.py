"""Bulk jobs on disk: a job, its items and their media, its results. Every change is one transaction."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from identity_reward_client.errors import Conflict, LimitExceeded, StorageFull
from identity_reward_client.wire.job_messages import JobItem, JobState

from ..scheduling.call import new_id
from .database import give_back_space, open_file, storage_errors, transaction, used_bytes
from .manifest import KeptItem, read_manifest, restore

T = TypeVar("T")
# left on the disk for the results of running jobs
_SPARE_BYTES = 1 << 20
_COLUMNS = "number, id, client, state, total, done, failed, created_at, started_at, finished_at"


@dataclass(frozen=True)
class Job:
    """Times are seconds since 1970: they are compared across restarts of the machine."""

    number: int
    id: str
    client: str
    state: JobState
    total: int
    done: int
    failed: int
    created_at: float
    started_at: float | None
    finished_at: float | None


@dataclass(frozen=True)
class WaitingItem:
    """`tries`: how often it was scored and the service failed at it."""

    job: Job
    line: int
    tries: int
    id: str
    request: str

    @property
    def key(self) -> tuple[int, int]:
        return self.job.number, self.line


class JobStore:
    """Opens the file at `path` for this process alone. Its methods block; `run` runs them in turn in a thread.

    Where the disk fails they raise StorageFull or InternalError, and nothing has changed.
    """

    def __init__(self, path: Path, max_bytes: int, max_items: int):
        self._path = path
        self._max_bytes = max_bytes
        self._max_items = max_items
        self._db = open_file(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="jobs")
        # items without a result, of unfinished jobs
        self.waiting = 0
        self._count()

    async def run(self, method: Callable[..., T], *arguments: object, **options: object) -> T:
        call = partial(method, *arguments, **options)
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def close(self) -> None:
        self._thread.shutdown(wait=True)
        self._db.close()

    def submit(self, client: str, key: str | None, body: bytes, model_name: Callable[[str | None], str]) -> Job:
        """The job of this manifest, or the one that the client's earlier call with this key and body made.

        Conflict where that body was another; InvalidRequest and LimitExceeded as of `read_manifest`.
        """
        digest = sha256(body).hexdigest()
        if key is not None and (known := self._by_key(client, key, digest)) is not None:
            return known
        self._check_room(len(body))
        with self._change():
            number = self._db.execute(
                "INSERT INTO jobs (id, client, state, created_at, key, body_sha256) VALUES (?, ?, ?, ?, ?, ?)",
                (new_id(), client, "queued", time.time(), key, digest),
            ).lastrowid
            count = 0
            for kept in read_manifest(body, self._max_items, model_name):
                self._add(number, kept)
                count += 1
            self._db.execute("UPDATE jobs SET total = ? WHERE number = ?", (count, number))
        return self._one("number = ?", number)

    def job(self, identity: str, client: str | None) -> Job | None:
        """None where there is none of this client's; any client's where `client` is None."""
        return self._maybe("id = ? AND client = coalesce(?, client)", identity, client)

    def jobs(self, client: str | None, after: str | None, limit: int) -> list[Job]:
        """The newest first, from behind the job `after`."""
        return self._find(
            "client = coalesce(?, client) AND (? IS NULL OR number < (SELECT number FROM jobs WHERE id = ?)) "
            "ORDER BY number DESC LIMIT ?",
            client, after, after, limit,
        )  # fmt: skip

    def results(self, number: int, after: int, limit: int) -> bytes:
        """Lines of JSON, in the order in which the results came, from behind number `after`."""
        with storage_errors():
            rows = self._db.execute(
                "SELECT number, body FROM results WHERE job = ? AND number > ? ORDER BY number LIMIT ?",
                (number, after, limit),
            )
            # a body is an object that isn't empty
            return "".join(f'{{"number":{number},{body[1:]}\n' for number, body in rows).encode()

    def cancel(self, number: int) -> Job:
        """Nothing more of it is scored, its media go, its results stay. A finished one stays as it is."""
        with self._change():
            if self._finish(number, "cancelled"):
                self._db.execute("DELETE FROM items WHERE job = ?", (number,))
        give_back_space(self._db)
        return self._one("number = ?", number)

    def next_item(self, taken: Collection[tuple[int, int]], last_client: str) -> WaitingItem | None:
        """The next client's turn, its oldest job first, in the manifest's order; what failed before comes last."""
        with storage_errors():
            rows = self._db.execute("SELECT DISTINCT client FROM jobs WHERE finished_at IS NULL ORDER BY client")
            clients = [client for (client,) in rows]
            for client in sorted(clients, key=lambda client: (client <= last_client, client)):
                for number, line, tries, request in self._db.execute(
                    "SELECT items.job, line, tries, request FROM jobs CROSS JOIN items ON items.job = jobs.number "
                    "WHERE client = ? AND finished_at IS NULL ORDER BY jobs.number, tries, line LIMIT ?",
                    (client, len(taken) + 1),
                ):
                    if (number, line) not in taken:
                        return WaitingItem(self._started(number), line, tries, json.loads(request)["id"], request)
        return None

    def load(self, waiting: WaitingItem) -> JobItem:
        """The item with its media."""
        with storage_errors():
            return restore(waiting.request, self._media)

    def record(self, number: int, line: int, body: str, failed: bool) -> Job | None:
        """The item's one result. None where it is not waited for any more: it has one, or the job was cancelled.

        `body`: a JobResult as JSON, without its `number`.
        """
        with self._change():
            gone = self._db.execute("DELETE FROM items WHERE job = ? AND line = ?", (number, line)).rowcount
            if not gone:
                return None
            self._db.execute(
                "UPDATE jobs SET done = done + 1, failed = failed + ? WHERE number = ?", (int(failed), number)
            )
            self._db.execute(
                "INSERT INTO results (job, number, line, body) SELECT number, done, ?, ? FROM jobs WHERE number = ?",
                (line, body, number),
            )
            job = self._one("number = ?", number)
            if job.done == job.total:
                self._finish(number, "done")
        if job.done == job.total:
            give_back_space(self._db)
        return job

    def count_try(self, number: int, line: int) -> None:
        with self._change():
            self._db.execute("UPDATE items SET tries = tries + 1 WHERE job = ? AND line = ?", (number, line))

    def drop_finished(self, before: float) -> int:
        """Jobs that were finished before this time go, with their results. How many there were."""
        with self._change():
            count = self._db.execute("DELETE FROM jobs WHERE finished_at < ?", (before,)).rowcount
        if count:
            give_back_space(self._db)
        return count

    @contextmanager
    def _change(self) -> Iterator[None]:
        try:
            with storage_errors(), transaction(self._db):
                yield
        except StorageFull:
            give_back_space(self._db)  # what was written of it
            raise
        self._count()

    def _count(self) -> None:
        with storage_errors():
            found = self._db.execute("SELECT coalesce(sum(total - done), 0) FROM jobs WHERE finished_at IS NULL")
            self.waiting = found.fetchone()[0]

    def _find(self, condition: str, *values: object) -> list[Job]:
        with storage_errors():
            return [Job(*row) for row in self._db.execute(f"SELECT {_COLUMNS} FROM jobs WHERE {condition}", values)]

    def _maybe(self, condition: str, *values: object) -> Job | None:
        return next(iter(self._find(condition, *values)), None)

    def _one(self, condition: str, *values: object) -> Job:
        (job,) = self._find(condition, *values)
        return job

    def _by_key(self, client: str, key: str, digest: str) -> Job | None:
        known = self._maybe("client = ? AND key = ?", client, key)
        if known is not None and self._maybe("number = ? AND body_sha256 = ?", known.number, digest) is None:
            raise Conflict("this Idempotency-Key stands for another job; a key is for one manifest and its repeats")
        return known

    def _check_room(self, size: int) -> None:
        if size > self._max_bytes:
            raise LimitExceeded(
                f"the manifest has {size} bytes; all jobs may take {self._max_bytes} (max_jobs_bytes)",
                details={"limit": "max_jobs_bytes", "maximum": self._max_bytes},
            )
        if used_bytes(self._db) + size > self._max_bytes:
            raise StorageFull("earlier jobs leave no room for this one (max_jobs_bytes)", retry_after_s=60)
        # it is written twice: to the log, then to the file
        if shutil.disk_usage(self._path.parent).free < 2 * size + _SPARE_BYTES:
            raise StorageFull("the disk that keeps the jobs has no room for this one", retry_after_s=60)

    def _add(self, number: int | None, kept: KeptItem) -> None:
        self._db.execute("INSERT INTO items (job, line, request) VALUES (?, ?, ?)", (number, kept.line, kept.request))
        for name, data in kept.media.items():
            self._db.execute("INSERT OR IGNORE INTO media (name, body) VALUES (?, ?)", (name, data))
            self._db.execute("INSERT OR IGNORE INTO uses (job, media) VALUES (?, ?)", (number, name))

    def _media(self, name: str) -> bytes:
        return self._db.execute("SELECT body FROM media WHERE name = ?", (name,)).fetchone()[0]

    def _started(self, number: int) -> Job:
        job = self._one("number = ?", number)
        if job.state == "running":
            return job
        with self._change():
            self._db.execute(
                "UPDATE jobs SET state = 'running', started_at = ? WHERE number = ?", (time.time(), number)
            )
        return self._one("number = ?", number)

    def _finish(self, number: int, state: JobState) -> bool:
        """Media that no other job uses go. False where it is finished already."""
        changed = self._db.execute(
            "UPDATE jobs SET state = ?, finished_at = ? WHERE number = ? AND finished_at IS NULL",
            (state, time.time(), number),
        ).rowcount
        if changed:
            names = [name for (name,) in self._db.execute("SELECT media FROM uses WHERE job = ?", (number,))]
            self._db.execute("DELETE FROM uses WHERE job = ?", (number,))
            self._db.executemany(
                "DELETE FROM media WHERE name = ?1 AND NOT EXISTS (SELECT 1 FROM uses WHERE media = ?1)",
                [(name,) for name in names],
            )
        return bool(changed)
