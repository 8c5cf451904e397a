"""SQLite database of jobs: its schema, its lock for one process, and its errors as those of the API."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from identity_reward_client.errors import Conflict, InternalError, InvalidRequest, StorageFull

log = logging.getLogger("identity_reward")

_APPLICATION_ID = 0x49645277
_VERSION = 1
# seconds to wait for the lock of an earlier server, which may still be shutting down
_LOCK_WAIT_S = 2.0

# An item is either in `items` or in `results`: the transaction that adds a result deletes the item.
_TABLES = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    client TEXT NOT NULL,
    state TEXT NOT NULL,
    total INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL,
    key TEXT,
    body_sha256 TEXT NOT NULL,
    UNIQUE (client, key)
);
CREATE INDEX unfinished ON jobs (client, number) WHERE finished_at IS NULL;
CREATE TABLE items (
    job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    line INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    request TEXT NOT NULL,
    PRIMARY KEY (job, line)
) WITHOUT ROWID;
CREATE INDEX turns ON items (job, tries, line);
CREATE TABLE results (
    job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    number INTEGER NOT NULL,
    line INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (job, number),
    UNIQUE (job, line)
) WITHOUT ROWID;
CREATE TABLE media (name TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE uses (
    job INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
    media TEXT NOT NULL REFERENCES media,
    PRIMARY KEY (job, media)
) WITHOUT ROWID;
CREATE INDEX users ON uses (media);
"""


def open_file(path: Path) -> sqlite3.Connection:
    """Open the database for this process alone, creating it if it is missing. For one thread at a time.

    Raises Conflict if another process has it open, InvalidRequest if it is another kind of file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():  # closing a file that this process has open would release its lock
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # it holds images of people
        db = sqlite3.connect(path, timeout=_LOCK_WAIT_S, isolation_level=None, check_same_thread=False)
        try:
            _prepare(db)
        except BaseException:
            db.close()
            raise
    except OSError as error:
        raise InvalidRequest(f"jobs can't be stored in {path}: {error.strerror}") from None
    except sqlite3.Error as error:
        if _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise Conflict(f"another server keeps its jobs in {path}; each needs a file of its own") from None
        raise InvalidRequest(f"jobs can't be stored in {path}: {error}") from None
    return db


def _prepare(db: sqlite3.Connection) -> None:
    # exclusive from the first access on: the operating system releases the lock when the process ends, however it ends,
    # and the index of the log is in memory rather than in a mapped file that a full disk could damage
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    if not db.execute("PRAGMA schema_version").fetchone()[0]:
        db.execute("PRAGMA page_size = 8192")
        db.execute("PRAGMA auto_vacuum = INCREMENTAL")
    db.execute("PRAGMA journal_mode = WAL")
    # a sync per commit: accepted jobs and recorded results survive a power failure, and a forward pass costs more
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    # the log stays small: one that has filled the disk could not be written back to free space
    db.execute("PRAGMA wal_autocheckpoint = 256")
    db.execute("PRAGMA journal_size_limit = 4194304")
    with transaction(db):
        application_id = db.execute("PRAGMA application_id").fetchone()[0]
        if application_id == 0 and not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            for statement in _TABLES.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {_VERSION}")
        elif application_id != _APPLICATION_ID or db.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            raise sqlite3.DatabaseError("it is not a job database of this version")


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All changes inside the block or none; on disk when it ends."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            if db.in_transaction:  # after some errors SQLite has rolled back already
                db.execute("ROLLBACK")
        raise


@contextmanager
def storage_errors() -> Iterator[None]:
    """Raise SQLite's errors as errors of the API: StorageFull where free disk space would help."""
    try:
        yield
    except sqlite3.Error as error:
        if _code(error) in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
            raise StorageFull("the disk with the jobs is full or failing", retry_after_s=10) from None
        log.error("the job database: %s %s", type(error).__name__, getattr(error, "sqlite_errorname", ""))
        raise InternalError("the job database can't be used; the server's log says why") from None


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def used_bytes(db: sqlite3.Connection) -> int:
    """Bytes of the file without its free pages."""
    pages, free, size = (
        db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def give_back_space(db: sqlite3.Connection) -> None:
    """Return free pages and the log's space to the file system, as far as possible now."""
    with suppress(sqlite3.Error):
        db.executescript("PRAGMA incremental_vacuum")  # execute() would run one step only: one page
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
