"""Over HTTP, over gRPC and in process the numbers are the same, to the last bit."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from identity_reward_client.cli.app import app
from identity_reward_client.inputs.tensors import Frames
from identity_reward_client.transports.grpc import GrpcRewardClient
from tests.contract.conftest import MODELS


def answers_of(clients, call) -> list:
    return [call(client) for client in clients.values()]


def same(values: list):
    """The value that all have."""
    assert all(value == values[0] for value in values), values
    return values[0]


@pytest.mark.parametrize("model", MODELS)
def test_every_transport_scores_a_video_alike(clients, reference_jpeg, clip_mp4, model):
    answers = answers_of(clients, lambda client: client.score([reference_jpeg], clip_mp4, model=model, details=True))
    assert np.isfinite(same([answer.reward for answer in answers]))
    for field in ("frame_indices", "num_source_frames", "fps", "model", "details"):
        same([getattr(answer, field) for answer in answers])


@pytest.mark.parametrize("model", MODELS)
def test_every_transport_scores_groups_of_frames_and_files_alike(
    clients, reference_jpeg, other_jpeg, clip_frames, other_mp4, model
):
    videos = [clip_frames, clip_frames[::-1].copy(), other_mp4, b"no video", "gone.mp4"]
    answers = answers_of(
        clients,
        lambda client: client.score_group(
            [reference_jpeg, other_jpeg], videos, fps=12, model=model, matrices=True, theta=3, details=True
        ),
    )
    items = same([answer.items for answer in answers])
    assert [item.error and item.error.code for item in items] == [None] * 3 + ["invalid_media", "invalid_request"]
    win = same([answer.win for answer in answers])
    assert win[3] == [None] * 5
    assert win[0][1] is not None
    same([answer.tie for answer in answers])
    assert same([answer.theta for answer in answers]) == 3


@pytest.mark.parametrize("model", MODELS)
def test_every_transport_compares_by_stored_references_alike(clients, reference_jpeg, clip_mp4, other_mp4, model):
    same(answers_of(clients, lambda client: client.put_references([reference_jpeg])))
    answers = answers_of(
        clients,
        lambda client: client.compare(
            client.put_references([reference_jpeg]), clip_mp4, other_mp4, model=model, theta=4, details=True
        ),
    )
    same([answer.model_dump(exclude={"request_id", "timing"}) for answer in answers])


def test_a_request_over_the_default_limit_of_grpc(clients, reference_jpeg):
    """Six clips of four frames, 5 MB in all: chunks over gRPC, one body over HTTP."""
    noise = np.random.default_rng(3).integers(0, 256, (6, 4, 256, 270, 3), dtype=np.uint8)
    answers = answers_of(
        clients, lambda client: client.score_group([reference_jpeg], list(noise), fps=4, model="tiny", matrices=True)
    )
    same([answer.items for answer in answers])
    same([answer.win for answer in answers])


def test_images_and_arrays_in_every_form(clients, reference_jpeg, clip_frames):
    floats = Frames(clip_frames.astype(np.float32) / 255, fps=12, value_range=(0, 1))
    for video in (floats, list(clip_frames), clip_frames.transpose(0, 3, 1, 2)):
        answers = answers_of(
            clients, lambda client, video=video: client.score([clip_frames[0]], video, fps=12, model="tiny")
        )
        same([answer.reward for answer in answers])


def test_every_transport_lists_the_same_models(clients):
    assert [model.name for model in same(answers_of(clients, lambda client: client.models()))] == MODELS


@pytest.mark.parametrize("model", MODELS)
async def test_a_stream_has_the_items_of_the_whole_answer(server, clients, reference_jpeg, clip_mp4, other_mp4, model):
    videos = [clip_mp4, b"no video", other_mp4]
    client = GrpcRewardClient(server.grpc_url)
    items = [item async for item in client.stream_group([reference_jpeg], videos, model=model)]
    await client.close()
    whole = clients["local"].score_group([reference_jpeg], videos, model=model)
    assert sorted(items, key=lambda item: item.index) == whole.items


def test_the_command_takes_either_url(server, clients, reference_jpeg, clip_mp4, tmp_path):
    (tmp_path / "a.jpg").write_bytes(reference_jpeg)
    (tmp_path / "a.mp4").write_bytes(clip_mp4)
    arguments = ["score", "--model", "tiny", "--json", "-r", str(tmp_path / "a.jpg"), str(tmp_path / "a.mp4"), "--url"]
    results = [CliRunner().invoke(app, [*arguments, url]) for url in (server.url, server.grpc_url)]
    assert [result.exit_code for result in results] == [0, 0], results
    assert same([json.loads(result.stdout)["reward"] for result in results]) == clients["local"].score(
        [reference_jpeg], clip_mp4, model="tiny"
    ).reward  # fmt: skip
