"""Store of bulk jobs on disk: jobs, their items, media and results. Every change is one transaction."""

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
from .manifest import StoredItem, read_manifest, restore

T = TypeVar("T")
# disk space that is reserved for the results of running jobs
_SPARE_BYTES = 1 << 20
_COLUMNS = "number, id, client, state, total, done, failed, created_at, started_at, finished_at"


@dataclass(frozen=True)
class Job:
    """A row of the table of jobs. Times are seconds since 1970, which a restart of the machine doesn't reset."""

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
    """An item of a job that has no result yet, as the job runner takes it up."""

    job: Job
    # of the manifest, from 1
    line: int
    # attempts at which the service failed
    tries: int
    id: str
    # JSON in which media are replaced by references to the table of media
    request: str

    @property
    def key(self) -> tuple[int, int]:
        """Number of the job and line of the item."""
        return self.job.number, self.line


class JobStore:
    """Opens the file at `path` for this process alone. Its methods block; `run` calls them in one thread.

    If the disk fails they raise StorageFull or InternalError, and nothing has changed.
    """

    def __init__(self, path: Path, max_bytes: int, max_items: int):
        self._path = path
        self._max_bytes = max_bytes
        self._max_items = max_items
        self._db = open_file(path)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="jobs")
        # items without a result, of unfinished jobs
        self.num_waiting = 0
        self._count_waiting()

    async def run(self, method: Callable[..., T], *arguments: object, **options: object) -> T:
        """Call a method of the store in its thread."""
        call = partial(method, *arguments, **options)
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    def close(self) -> None:
        """Close the file, after running methods."""
        self._thread.shutdown(wait=True)
        self._db.close()

    def submit(self, client: str, key: str | None, body: bytes, model_name: Callable[[str | None], str]) -> Job:
        """Add the job of a manifest, or return the one of the client's earlier call with this idempotency key.

        Raises Conflict if the earlier body differs; InvalidRequest and LimitExceeded as `read_manifest` does.
        """
        digest = sha256(body).hexdigest()
        if key is not None and (earlier := self._by_key(client, key, digest)) is not None:
            return earlier
        self._check_space(len(body))
        with self._change():
            number = self._db.execute(
                "INSERT INTO jobs (id, client, state, created_at, key, body_sha256) VALUES (?, ?, ?, ?, ?, ?)",
                (new_id(), client, "queued", time.time(), key, digest),
            ).lastrowid
            count = 0
            for item in read_manifest(body, self._max_items, model_name):
                self._add(number, item)
                count += 1
            self._db.execute("UPDATE jobs SET total = ? WHERE number = ?", (count, number))
        return self._find_one("number = ?", number)

    def job(self, identity: str, client: str | None) -> Job | None:
        """The job with this id if it is the client's, or any client's if `client` is None."""
        return self._find_any("id = ? AND client = coalesce(?, client)", identity, client)

    def jobs(self, client: str | None, after: str | None, limit: int) -> list[Job]:
        """Jobs older than the job `after`, the newest first."""
        return self._find(
            "client = coalesce(?, client) AND (? IS NULL OR number < (SELECT number FROM jobs WHERE id = ?)) "
            "ORDER BY number DESC LIMIT ?",
            client, after, after, limit,
        )  # fmt: skip

    def results(self, number: int, after: int, limit: int) -> bytes:
        """JSON lines of the results with a number above `after`, in the order in which they were recorded."""
        with storage_errors():
            rows = self._db.execute(
                "SELECT number, body FROM results WHERE job = ? AND number > ? ORDER BY number LIMIT ?",
                (number, after, limit),
            )
            # a body is a non-empty JSON object: the number is inserted as its first field
            return "".join(f'{{"number":{number},{body[1:]}\n' for number, body in rows).encode()

    def cancel(self, number: int) -> Job:
        """Cancel a job and delete its items and media; its results stay. A finished job stays as it is."""
        with self._change():
            if self._finish(number, "cancelled"):
                self._db.execute("DELETE FROM items WHERE job = ?", (number,))
        give_back_space(self._db)
        return self._find_one("number = ?", number)

    def next_item(self, running: Collection[tuple[int, int]], last_client: str) -> WaitingItem | None:
        """The next item that isn't running, of the client after `last_client`.

        A client's oldest job comes first, its items in the manifest's order, those that failed before last.
        """
        with storage_errors():
            rows = self._db.execute("SELECT DISTINCT client FROM jobs WHERE finished_at IS NULL ORDER BY client")
            clients = [client for (client,) in rows]
            for client in sorted(clients, key=lambda client: (client <= last_client, client)):
                for number, line, tries, request in self._db.execute(
                    "SELECT items.job, line, tries, request FROM jobs CROSS JOIN items ON items.job = jobs.number "
                    "WHERE client = ? AND finished_at IS NULL ORDER BY jobs.number, tries, line LIMIT ?",
                    (client, len(running) + 1),
                ):
                    if (number, line) not in running:
                        return WaitingItem(self._mark_running(number), line, tries, json.loads(request)["id"], request)
        return None

    def load(self, item: WaitingItem) -> JobItem:
        """The item with its media."""
        with storage_errors():
            return restore(item.request, self._load_media)

    def record(self, number: int, line: int, body: str, failed: bool) -> Job | None:
        """Record the result of an item. None if it has a result already or its job was cancelled.

        `body` is a JobResult as JSON, without its `number`.
        """
        with self._change():
            deleted = self._db.execute("DELETE FROM items WHERE job = ? AND line = ?", (number, line)).rowcount
            if not deleted:
                return None
            self._db.execute(
                "UPDATE jobs SET done = done + 1, failed = failed + ? WHERE number = ?", (int(failed), number)
            )
            self._db.execute(
                "INSERT INTO results (job, number, line, body) SELECT number, done, ?, ? FROM jobs WHERE number = ?",
                (line, body, number),
            )
            job = self._find_one("number = ?", number)
            if job.done == job.total:
                self._finish(number, "done")
        if job.done == job.total:
            give_back_space(self._db)
        return job

    def count_try(self, number: int, line: int) -> None:
        """Count an attempt at which the service failed."""
        with self._change():
            self._db.execute("UPDATE items SET tries = tries + 1 WHERE job = ? AND line = ?", (number, line))

    def drop_finished(self, before: float) -> int:
        """Delete jobs that finished before this time, with their results; returns how many."""
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
            give_back_space(self._db)  # that of the rows which were rolled back
            raise
        self._count_waiting()

    def _count_waiting(self) -> None:
        with storage_errors():
            rows = self._db.execute("SELECT coalesce(sum(total - done), 0) FROM jobs WHERE finished_at IS NULL")
            self.num_waiting = rows.fetchone()[0]

    def _find(self, condition: str, *values: object) -> list[Job]:
        with storage_errors():
            return [Job(*row) for row in self._db.execute(f"SELECT {_COLUMNS} FROM jobs WHERE {condition}", values)]

    def _find_any(self, condition: str, *values: object) -> Job | None:
        return next(iter(self._find(condition, *values)), None)

    def _find_one(self, condition: str, *values: object) -> Job:
        (job,) = self._find(condition, *values)
        return job

    def _by_key(self, client: str, key: str, digest: str) -> Job | None:
        job = self._find_any("client = ? AND key = ?", client, key)
        if job is not None and self._find_any("number = ? AND body_sha256 = ?", job.number, digest) is None:
            raise Conflict("this Idempotency-Key was used for another job; a key is for one manifest and its repeats")
        return job

    def _check_space(self, num_bytes: int) -> None:
        if num_bytes > self._max_bytes:
            raise LimitExceeded(
                f"the manifest has {num_bytes} bytes; all jobs together may take {self._max_bytes} (max_jobs_bytes)",
                details={"limit": "max_jobs_bytes", "maximum": self._max_bytes},
            )
        if used_bytes(self._db) + num_bytes > self._max_bytes:
            raise StorageFull("earlier jobs leave no space for this one (max_jobs_bytes)", retry_after_s=60)
        # every byte is written twice: to the write-ahead log, then to the file
        if shutil.disk_usage(self._path.parent).free < 2 * num_bytes + _SPARE_BYTES:
            raise StorageFull("the disk with the jobs has no space for this one", retry_after_s=60)

    def _add(self, number: int | None, item: StoredItem) -> None:
        self._db.execute("INSERT INTO items (job, line, request) VALUES (?, ?, ?)", (number, item.line, item.request))
        for name, data in item.media.items():
            self._db.execute("INSERT OR IGNORE INTO media (name, body) VALUES (?, ?)", (name, data))
            self._db.execute("INSERT OR IGNORE INTO uses (job, media) VALUES (?, ?)", (number, name))

    def _load_media(self, name: str) -> bytes:
        return self._db.execute("SELECT body FROM media WHERE name = ?", (name,)).fetchone()[0]

    def _mark_running(self, number: int) -> Job:
        job = self._find_one("number = ?", number)
        if job.state == "running":
            return job
        with self._change():
            self._db.execute(
                "UPDATE jobs SET state = 'running', started_at = ? WHERE number = ?", (time.time(), number)
            )
        return self._find_one("number = ?", number)

    def _finish(self, number: int, state: JobState) -> bool:
        """Finish a job and delete the media that no other job uses. False if it was finished already."""
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
