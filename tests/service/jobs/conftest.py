from pathlib import Path

import pytest

from service.jobs import runner
from service.jobs.service import Jobs
from service.jobs.store import JobStore


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "jobs.sqlite"


@pytest.fixture
def open_store(path):
    made = []

    def open_at(max_bytes=1 << 30, max_items=1000, at=path) -> JobStore:
        made.append(JobStore(at, max_bytes, max_items))
        return made[-1]

    yield open_at
    for store in made:
        store.close()


@pytest.fixture
def store(open_store) -> JobStore:
    return open_store()


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch):
    monkeypatch.setattr(runner, "_BASE_S", 0.02)


@pytest.fixture
async def start(make_engine, tmp_path):
    made = []

    async def open_jobs(path=tmp_path / "jobs.sqlite", **settings) -> Jobs:
        engine = make_engine(jobs_path=path, result_cache_entries=0, **settings)
        jobs = await Jobs.open(engine.settings, engine, engine.metrics)
        assert jobs is not None
        jobs.start()
        made.append(jobs)
        return jobs

    yield open_jobs
    for jobs in made:
        await jobs.close()
