"""Decoding processes that are killed under a running server: each fails only the file that it was decoding."""

from concurrent.futures import ThreadPoolExecutor

from tests.support.media import b64
from tests.support.metrics import metric
from tests.support.server import decode_processes, have_ended
from tests.support.waiting import wait_until

# an empty box behind an MP4: another file with the same frames, which no cache holds
EMPTY_BOX = b"\0\0\0\x08free"


def test_a_killed_worker_fails_only_the_file_that_it_decoded(server, http, score_body, clip_mp4, other_mp4):
    def reward(clip: bytes) -> float:
        answer = http.post("/v1/score", json=score_body | {"video": {"data": b64(clip)}})
        assert answer.status_code == 200, answer.text
        return answer.json()["reward"]

    expected = [reward(clip_mp4), reward(other_mp4), reward(clip_mp4)]
    body = {name: score_body[name] for name in ("model", "references")}
    clips = [clip_mp4 + EMPTY_BOX, other_mp4 + EMPTY_BOX, clip_mp4 + 2 * EMPTY_BOX]
    wait_until(lambda: len(decode_processes(server)) == 2, "both workers run")
    num_decoded = metric(server.url, "decode_seconds_count")
    stopped = decode_processes(server)[0]
    stopped.suspend()
    with ThreadPoolExecutor(1) as pool:
        group = pool.submit(http.post, "/v1/groups", json=body | {"videos": [{"data": b64(clip)} for clip in clips]})
        # idle workers take turns, so that the stopped one has the third clip when the other one has probed two
        wait_until(lambda: metric(server.url, "decode_seconds_count") == num_decoded + 2, "two clips are probed")
        stopped.kill()
        answer = group.result()
    assert answer.status_code == 200, answer.text
    items = answer.json()["items"]
    lost = [item["index"] for item in items if item["error"]]
    assert len(lost) == 1
    assert items[lost[0]]["error"]["code"] == "invalid_media"
    assert "its decoder died of signal 9" in items[lost[0]]["error"]["message"]
    others = [index for index in range(3) if index != lost[0]]
    assert [items[index]["scored"]["reward"] for index in others] == [expected[index] for index in others]
    assert reward(clips[lost[0]]) == expected[lost[0]], "the file itself is a good one"
    wait_until(lambda: len(decode_processes(server)) == 2, "the worker is replaced")


def test_killing_idle_workers_fails_no_request(server, http, score_body, clip_mp4):
    before = http.post("/v1/score", json=score_body).json()["reward"]
    killed = decode_processes(server)
    for worker in killed:
        worker.kill()
    wait_until(lambda: have_ended(killed), "they have ended")
    answer = http.post("/v1/score", json=score_body | {"video": {"data": b64(clip_mp4 + 3 * EMPTY_BOX)}})
    assert answer.status_code == 200, answer.text
    assert answer.json()["reward"] == before
