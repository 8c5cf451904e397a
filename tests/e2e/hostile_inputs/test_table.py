"""Every case of the table against one server: its answer, and a good request after it."""

import os

import psutil
import pytest

from tests.e2e.hostile_inputs.files import Marked
from tests.e2e.hostile_inputs.request_cases import CASES
from tests.e2e.hostile_inputs.table import PAGE, Caller, table, table_of
from tests.support.metrics import is_idle
from tests.support.waiting import wait_until

LIMITS = {"MAX_BODY_BYTES": 8 << 20, "MAX_SENT_FRAMES": 64, "MAX_SOURCE_FRAMES": 300, "REQUEST_TIMEOUT_S": 6}


@pytest.fixture(scope="module")
def server(serve):
    limits = {f"IDENTITY_REWARD_{name}": str(value) for name, value in LIMITS.items()}
    return serve("--model", "arcface", "--model", "tiny", "--port", "0", environment=limits).wait_ready()


@pytest.fixture(scope="module")
def caller(server, reference_jpeg, clip_mp4):
    return Caller(server.url, reference_jpeg, clip_mp4)


@pytest.fixture(autouse=True)
def server_goes_on(caller):
    """After every case a clip is scored, and nothing was unpickled."""
    yield
    assert caller.score().status == 200
    assert not os.path.exists(Marked.path)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_each_case_gets_its_documented_answer(caller, case):
    answer = case.send(caller)
    assert (answer.status, answer.code) == (case.status, case.code), answer.message
    assert case.message in answer.message


def test_there_are_many_cases_of_different_names():
    names = [case.name for case in CASES]
    assert len(set(names)) == len(names) > 100


def test_the_table_in_the_docs_is_up_to_date():
    assert table_of(PAGE.read_text()) == table(CASES), "run python -m tests.e2e.hostile_inputs.table"


def test_memory_is_flat(server, caller):
    quick = [case for case in CASES if case.code != "deadline_exceeded"]

    sizes = []
    for _ in range(4):
        for case in quick:
            case.send(caller)
        wait_until(lambda: is_idle(server.url), "nothing is held for anybody")
        sizes.append(server.memory_bytes())
    print([size >> 20 for size in sizes])
    # the allocator keeps some tens of megabytes more or less from round to round; a leak has no smaller round
    assert min(sizes[-2:]) - sizes[0] < 16 << 20, f"bytes after each round: {sizes}"


def test_no_worker_was_lost(server):
    assert [line for line in server.err if "Traceback" in line or "worker" in line] == []


def test_no_process_is_a_zombie(server):
    statuses = {process.status() for process in server.process.children(recursive=True)}
    assert psutil.STATUS_ZOMBIE not in statuses
