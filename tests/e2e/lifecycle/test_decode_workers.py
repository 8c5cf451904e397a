"""The processes that decode files, killed under a running server: each costs the file that it had, and nothing else."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psutil

from tests.e2e.conftest import b64
from tests.e2e.grpc_calls import until

# an empty box behind an MP4: another file with the same frames, which no cache holds
BOX = b"\0\0\0\x08free"


def workers(server) -> list[psutil.Process]:
    found = []
    for one in server.process.children(recursive=True):
        with suppress(psutil.Error):  # it ends while it is looked at
            if one.status() != psutil.STATUS_ZOMBIE and "reward_model.decoding.worker" in " ".join(one.cmdline()):
                found.append(one)
    return found


def ended(process: psutil.Process) -> bool:
    """So that its parent can know of it; one that is still ending has lost its command line, but not more."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_one_that_is_killed_while_it_has_a_file_costs_that_file(server, http, score_body, clip_mp4, other_mp4):
    def reward(clip: bytes) -> float:
        answer = http.post("/v1/score", json=score_body | {"video": {"data": b64(clip)}})
        assert answer.status_code == 200, answer.text
        return answer.json()["reward"]

    wanted = [reward(clip_mp4), reward(other_mp4), reward(clip_mp4)]
    both = workers(server)
    assert len(both) == 2
    clips = [clip_mp4 + BOX, other_mp4 + BOX, clip_mp4 + 2 * BOX]
    body = {name: score_body[name] for name in ("model", "references")}
    for one in both:
        one.suspend()
    with ThreadPoolExecutor(1) as pool:
        group = pool.submit(http.post, "/v1/groups", json=body | {"videos": [{"data": b64(clip)} for clip in clips]})
        time.sleep(0.5)  # each has been given a file
        both[0].kill()
        both[1].resume()
        answer = group.result(30)
    assert answer.status_code == 200, answer.text
    items = answer.json()["items"]
    [lost] = [item["index"] for item in items if item["error"]]
    assert items[lost]["error"]["code"] == "invalid_media"
    assert "its decoder died of signal 9" in items[lost]["error"]["message"]
    others = [place for place in range(3) if place != lost]
    assert [items[place]["scored"]["reward"] for place in others] == [wanted[place] for place in others]
    assert reward(clips[lost]) == wanted[lost], "the file itself is a good one"
    until(lambda: len(workers(server)) == 2, "the worker is replaced")


def test_those_that_are_killed_with_nothing_to_do_cost_nothing(server, http, score_body, clip_mp4):
    before = http.post("/v1/score", json=score_body).json()["reward"]
    killed = workers(server)
    for one in killed:
        one.kill()
    until(lambda: all(map(ended, killed)), "they are gone")
    answer = http.post("/v1/score", json=score_body | {"video": {"data": b64(clip_mp4 + 3 * BOX)}})
    assert answer.status_code == 200, answer.text
    assert answer.json()["reward"] == before
