"""Everything of bad_inputs against one server: the answer that the table promises, and the next good request."""

import os
import time

import psutil
import pytest

from tests.e2e.hostile_inputs.files import Marked
from tests.e2e.hostile_inputs.request_cases import CASES
from tests.e2e.hostile_inputs.table import PAGE, Caller, committed, table

LIMITS = {"MAX_BODY_BYTES": 8 << 20, "MAX_SENT_FRAMES": 64, "MAX_SOURCE_FRAMES": 300, "REQUEST_TIMEOUT_S": 6}


@pytest.fixture(scope="module")
def server(serve):
    limits = {f"IDENTITY_REWARD_{name}": str(value) for name, value in LIMITS.items()}
    return serve("--model", "arcface", "--model", "tiny", "--port", "0", environment=limits).wait_ready()


@pytest.fixture(scope="module")
def caller(server, reference_jpeg, clip_mp4):
    return Caller(server.url, reference_jpeg, clip_mp4)


@pytest.fixture(autouse=True)
def goes_on(caller):
    """After every case a clip is scored, and nothing was unpickled."""
    yield
    assert caller.score().status == 200
    assert not os.path.exists(Marked.path)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_answer(caller, case):
    got = case.send(caller)
    assert (got.status, got.code) == (case.status, case.code), got.message
    assert case.says in got.message


def test_there_are_many_and_no_name_twice():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names) > 100


def test_the_table_in_the_docs_is_this_list():
    assert committed(PAGE.read_text()) == table(CASES), "run python -m tests.e2e.hostile_inputs.table"


def memory(server) -> int:
    """Bytes that the processes of the service hold, what they share counted once."""
    return sum(one.memory_full_info().pss for one in server.process.children(recursive=True))


def test_memory_is_flat(server, caller):
    quick = [case for case in CASES if case.code != "deadline_exceeded"]

    def settled() -> int:
        time.sleep(0.5)
        return memory(server)

    sizes = []
    for _ in range(4):
        for case in quick:
            case.send(caller)
        sizes.append(settled())
    print([size >> 20 for size in sizes])
    # the allocator keeps some tens of megabytes more or less from round to round; a leak has no smaller round
    assert min(sizes[-2:]) - sizes[0] < 16 << 20, f"bytes after each round: {sizes}"


def test_no_worker_was_lost(server):
    assert [line for line in server.err if "Traceback" in line or "worker" in line] == []


def test_no_process_was_left(server):
    statuses = {one.status() for one in server.process.children(recursive=True)}
    assert psutil.STATUS_ZOMBIE not in statuses
