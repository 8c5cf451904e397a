"""Every warning on real media, over HTTP, over gRPC and in process; in pairs, groups, jobs, the command and a step."""

import io
import json
from dataclasses import replace

import httpx
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from identity_reward_client.cli.app import app
from identity_reward_client.fields.warnings import WarningCode
from identity_reward_client.sync import SyncRewardClient
from identity_reward_client.transports.grpc import GrpcRewardClient
from identity_reward_client.transports.http import HttpRewardClient
from reward_model.checkpoint import save, tensor_entries
from reward_model.decoding.media_decoder import InProcessDecoder
from reward_model.qwen import tiny
from service.local import LocalRewardClient
from tests.e2e.job_calls import NDJSON, results, wait_for_job
from tests.support.media import b64
from tests.support.paths import EXAMPLES, MEDIA
from tests.support.waiting import GENEROUS_S
from trainer.rewards import RemoteReward
from trainer.types import RolloutGroup

ANNA, BEA = (EXAMPLES / f"references/{name}.jpg" for name in ("anna", "bea"))
REAL, FROZEN = MEDIA / "one_person_small.mp4", MEDIA / "frozen_reference_anna.mp4"


def frames() -> np.ndarray:
    """uint8 [40, 240, 416, 3] of `REAL`."""
    with InProcessDecoder("pyav").video(REAL.read_bytes(), 1 << 20) as file:
        return file.frames(tuple(range(file.probe.num_frames)))


def anna_as(size: int = 512, degrees: int = 0, quality: int = 90) -> bytes:
    file = io.BytesIO()
    Image.open(ANNA).convert("RGB").resize((size, size)).rotate(degrees).save(file, "JPEG", quality=quality)
    return file.getvalue()


def small_frames() -> np.ndarray:
    return np.stack([np.asarray(Image.fromarray(frame).resize((104, 60))) for frame in frames()])


# model, references, video, options, and the (code, reference_index) of every warning
CASES = {
    "none": ("face-tracks", [ANNA], REAL, {}, []),
    "none, arcface": ("arcface", [ANNA], REAL, {}, []),
    "the reference itself": (
        "face-tracks", [BEA, ANNA], FROZEN, {},
        [("reference_copy", 1), ("still_video", None), ("person_rarely_seen", 0)],
    ),
    "a still video": ("arcface", [ANNA], FROZEN, {}, [("still_video", None)]),
    "one person twice": (
        "face-tracks", [ANNA, anna_as(quality=40)], EXAMPLES / "clips/two_people.mp4", {},
        [("duplicate_references", 1)],
    ),
    "a sideways reference": ("arcface", [anna_as(degrees=90)], REAL, {}, [("uncertain_reference_face", 0)]),
    "a small reference": ("face-tracks", [anna_as(64)], REAL, {}, [("uncertain_reference_face", 0)]),
    "a missing person": (
        "face-tracks", [BEA, ANNA], EXAMPLES / "clips/two_people_one_missing.mp4", {}, [("person_rarely_seen", 1)],
    ),
    "small faces": ("arcface", [ANNA], small_frames(), {"fps": 16}, [("low_face_resolution", 0)]),
    "few frames": ("face-tracks", [ANNA], frames()[:5], {"fps": 16}, [("short_clip", None)]),
    "an assumed rate": ("assumes-10", [ANNA], REAL, {"fps": "compat"}, [("frame_rate_assumed", None)]),
    "a short clip of an assumed rate": (
        "assumes-10", [ANNA], frames()[:4], {"fps": "compat"}, [("frame_rate_assumed", None), ("short_clip", None)],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> list[str]:
    """Both scorers of faces, and a folder of random weights that assumes 10 frames per second."""
    tokenizer = tiny.tiny_tokenizer()
    config = tiny.tiny_config(tokenizer)
    path = tmp_path_factory.mktemp("models") / "assumes-10"
    sampling = replace(config.frame_sampling, name="tiny-at-10", compat_fps=10.0)
    config = replace(config, name="assumes-10", frame_sampling=sampling)
    save(path, config, tokenizer.to_json(), tensor_entries(tiny.tiny_model(config).state_dict()))
    return ["face-tracks", "arcface", str(path)]


@pytest.fixture(scope="module")
def server(serve, models, tmp_path_factory):
    jobs = tmp_path_factory.mktemp("jobs") / "jobs.sqlite"
    arguments = [part for name in models for part in ("--model", name)]
    return serve(*arguments, "--port", "0", "--grpc-port", "0", "--jobs", str(jobs)).wait_ready(lines=2)


@pytest.fixture(scope="module")
def clients(server, models):
    with (
        SyncRewardClient(HttpRewardClient(server.url)) as over_http,
        SyncRewardClient(GrpcRewardClient(server.grpc_url)) as over_grpc,
        SyncRewardClient(LocalRewardClient(models)) as in_process,
    ):
        yield {"http": over_http, "grpc": over_grpc, "local": in_process}


def summary(scored) -> list[tuple[str, int | None]]:
    return [(warning.code, warning.reference_index) for warning in scored.warnings]


@pytest.mark.parametrize("name", CASES)
def test_every_transport_answers_the_same_warnings(clients, name):
    model, references, video, options, expected = CASES[name]
    answers = [client.score(references, video, model=model, **options) for client in clients.values()]
    # the last bits of the reward head depend on the number of threads, which differs between server and test
    spread = None if model != "face-tracks" else pytest.approx(answers[0].spread, abs=1e-4)
    for answer in answers:
        assert summary(answer) == expected
        assert answer.warnings == answers[0].warnings
        assert answer.spread == spread
    for client in clients.values():
        pair = client.compare(references, video, video, model=model, **options)
        group = client.score_group(references, [video], model=model, **options)
        for scored in (pair.a, pair.b, group.items[0].scored):
            assert scored.warnings == answers[0].warnings
            assert scored.spread == spread


def test_the_cases_have_every_code():
    assert {code for *_, expected in CASES.values() for code, _ in expected} == set(WarningCode)


def test_json_has_each_warning_as_code_message_and_reference_index(server):
    body = {
        "references": [{"data": b64(ANNA.read_bytes())}], "video": {"data": b64(FROZEN.read_bytes())},
    }  # fmt: skip
    answer = httpx.post(f"{server.url}/v1/score", json=body, timeout=GENEROUS_S).json()
    assert [sorted(warning) for warning in answer["warnings"]] == [["code", "message", "reference_index"]] * 2
    assert [warning["reference_index"] for warning in answer["warnings"]] == [0, None]


def test_the_metric_counts_by_model_and_code(server, clients):
    def count(code: str) -> float:
        text = httpx.get(f"{server.url}/metrics", timeout=GENEROUS_S).text
        line = f'identity_reward_warnings_total{{code="{code}",model="arcface"}} '
        return next(float(row.removeprefix(line)) for row in text.splitlines() if row.startswith(line))

    still, copies = count("still_video"), count("reference_copy")
    for _ in range(2):  # the second one is answered by the result cache
        clients["http"].score([ANNA], FROZEN, model="arcface")
    assert count("still_video") == still + 2
    assert count("reference_copy") == copies == 0


def test_results_of_jobs_have_the_warnings(server):
    item = {"references": [{"data": b64(ANNA.read_bytes())}], "video": {"data": b64(FROZEN.read_bytes())}, "id": "a"}
    answer = httpx.post(f"{server.url}/v1/jobs", content=json.dumps(item), headers=NDJSON, timeout=GENEROUS_S)
    job = answer.json()["id"]
    wait_for_job(server, job)
    (result,) = results(server, job)
    assert summary(result.scored) == [("reference_copy", 0), ("still_video", None)]
    assert result.scored.spread > 0


def test_the_command_marks_and_lists_them(server):
    arguments = ["score", "-r", str(ANNA), str(FROZEN), str(REAL), "--url"]
    for url in (server.url, server.grpc_url):
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*arguments, url])
        assert result.exit_code == 0, result.output
        marked = {line.split()[1]: " ! " in line for line in result.stdout.splitlines() if line.startswith("│")}
        assert marked == {str(FROZEN): True, str(REAL): False}
        assert f"! {FROZEN}: reference_copy: the video repeats reference 0" in result.stdout


def test_a_training_step_drops_copies_of_the_reference(server):
    with RemoteReward.http(server.url, drop_on=("reference_copy",)) as reward:
        reward.submit(RolloutGroup("anna", [str(ANNA)], [str(FROZEN), str(REAL)]))
        step = reward.collect()
    assert step.valid_PG.tolist() == [[False, True]]
    assert step.error_counts == {"reference_copy": 1}
    assert step.warning_counts == {"reference_copy": 1, "still_video": 1}
