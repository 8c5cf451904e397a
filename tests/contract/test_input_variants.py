"""Files as phones, editors and browsers write them score as their plain twins, or are refused with the reason.

The same over HTTP, over gRPC, in process, and for the command with --local.
"""

import json
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from identity_reward_client.cli.app import app
from identity_reward_client.errors import InvalidMedia, InvalidRequest
from tests.support.media import encode_jpeg, panned_portrait, portrait
from tests.support.video_files import (
    OPEN_GOP_X265,
    encode_frames,
    from_second_key_frame,
    remuxed,
    with_display_matrix,
    with_hidden_packet,
)

TOLERANCES = {"arcface": 0.03, "face-tracks": 0.5}
FRAMES = 40
# frames of a cut at an open group of pictures: those before its first key frame can't be shown
CUT_FRAMES = range(25, 31)
SHARP = {"crf": "12"}


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return panned_portrait("P001", frames=FRAMES, size=240)


@pytest.fixture(scope="module")
def base(frames) -> bytes:
    return encode_frames(frames, "mp4", "libx264", **SHARP)


@pytest.fixture(scope="module")
def variants(frames) -> dict[str, bytes]:
    narrow = np.stack([np.asarray(Image.fromarray(frame).resize((120, 240))) for frame in frames])
    x265 = encode_frames(frames, "matroska", "libx265", **OPEN_GOP_X265, **SHARP)
    vp8 = encode_frames(frames, "webm", "libvpx", b="2M")
    return {
        "mirrored_matrix.mp4": with_display_matrix(
            encode_frames(frames[:, :, ::-1], "mp4", "libx264", **SHARP), -1, 0, 0, 1
        ),
        "anamorphic.mp4": encode_frames(narrow, "mp4", "libx264", pixel_aspect=Fraction(2, 1), **SHARP),
        "b_frames.avi": encode_frames(frames, "avi", "libx264", bf="3", g="12", **SHARP),
        "hidden_packet.webm": remuxed(vp8, "webm", partial(with_hidden_packet, index=FRAMES - 2)),
        "open_gop_cut.mkv": remuxed(x265, "matroska", from_second_key_frame),
    }


@pytest.mark.parametrize("model", TOLERANCES)
def test_videos_score_as_their_plain_twin(clients, base, variants, reference_jpeg, model):
    for client in clients.values():
        plain = client.score([reference_jpeg], base, model=model)
        assert plain.num_source_frames == FRAMES
        for name, data in variants.items():
            scored = client.score([reference_jpeg], data, model=model)
            assert scored.reward == pytest.approx(plain.reward, abs=TOLERANCES[model]), name
            expected = CUT_FRAMES if "cut" in name else [FRAMES]
            assert scored.num_source_frames in expected, name


def test_videos_score_as_their_plain_twin_in_the_command(base, variants, reference_jpeg, tmp_path):
    (tmp_path / "anna.jpg").write_bytes(reference_jpeg)
    paths: list[Path] = []
    for name, data in {"base.mp4": base, **variants}.items():
        paths.append(tmp_path / name)
        paths[-1].write_bytes(data)
    arguments = ["rank", "--local", "--model", "arcface", "--json", "-r", str(tmp_path / "anna.jpg")]
    result = CliRunner().invoke(app, [*arguments, *map(str, paths)])
    assert result.exit_code == 0, result.output
    plain, *others = [item["scored"]["reward"] for item in json.loads(result.stdout)["items"]]
    assert others == pytest.approx([plain] * len(others), abs=TOLERANCES["arcface"])


def test_a_sideways_photograph_with_its_orientation_is_the_upright_one(clients, clip_mp4, tmp_path):
    """As a PIL image and by path: EXIF orientation 6 says that the pixels are to be turned by 90 degrees."""
    path = tmp_path / "exif6.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6
    path.write_bytes(encode_jpeg(portrait("P001").rotate(90, expand=True), exif=exif))
    upright = encode_jpeg(portrait("P001"))
    for client in clients.values():
        by_path = client.score([str(path)], clip_mp4, model="arcface").reward
        as_object = client.score([Image.open(path)], clip_mp4, model="arcface").reward
        assert as_object == pytest.approx(by_path, abs=1e-3)
        assert by_path == pytest.approx(client.score([upright], clip_mp4, model="arcface").reward, abs=0.03)


def test_a_transparent_image_scores_the_same_as_an_object_and_by_path(clients, clip_mp4, tmp_path):
    pixels = np.asarray(portrait("P001"))
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]] / pixels.shape[0] - 0.5
    alpha = np.where(np.hypot(x, y) < 0.45, 255, 0).astype(np.uint8)
    path = tmp_path / "cutout.png"
    Image.fromarray(np.dstack([pixels, alpha]), "RGBA").save(path)
    for client in clients.values():
        by_path = client.score([str(path)], clip_mp4, model="arcface").reward
        assert client.score([Image.open(path)], clip_mp4, model="arcface").reward == pytest.approx(by_path, abs=1e-6)


def test_a_photograph_that_ends_early_is_refused_as_such(clients, reference_jpeg, clip_mp4):
    cut = reference_jpeg[: len(reference_jpeg) * 8 // 10]
    for client in clients.values():
        with pytest.raises(InvalidMedia, match=r"ends (too )?early|cut (short|off)|incomplete"):
            client.score([cut], clip_mp4, model="arcface")


def test_the_same_photograph_for_two_people_is_refused(clients, reference_jpeg, clip_mp4):
    for client in clients.values():
        with pytest.raises(InvalidRequest, match="references 0 and 1 are the same image"):
            client.score([reference_jpeg, reference_jpeg], clip_mp4, model="arcface")
