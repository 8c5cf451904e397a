import base64
import io

import numpy as np
import pytest
from PIL import Image

from trainer.prompts import Prompt
from trainer.prompts.answer import InvalidAnswer
from trainer.prompts.request import INSTRUCTION, chat_messages, encode_image


def save(path, pixels, **options):
    Image.fromarray(np.asarray(pixels)).save(path, **options)
    return path


def decode(data):
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.mode) == ("JPEG", "RGB")
    return np.asarray(image).astype(int)


@pytest.mark.parametrize(
    ("size", "sent"), [((2000, 1000), (1024, 512)), ((900, 3000), (307, 1024)), ((300, 200), (300, 200))]
)
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_large_images_are_made_smaller_and_small_ones_kept(tmp_path, name, size, sent):
    path = save(tmp_path / name, np.zeros((size[1], size[0], 3), np.uint8))
    assert Image.open(io.BytesIO(encode_image(path))).size == sent


def test_orientation_is_applied_and_not_sent(tmp_path):
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[:, :48] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the left side is the top
    data = encode_image(save(tmp_path / "a.jpg", pixels, exif=exif))
    upright = decode(data)
    assert upright.shape == (96, 64, 3)
    assert upright[:40].min() > 240
    assert upright[56:].max() < 15
    assert not Image.open(io.BytesIO(data)).getexif()


def test_transparency_is_on_white(tmp_path):
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[32:, :, 3] = 255
    shown = decode(encode_image(save(tmp_path / "a.png", pixels)))
    assert shown[:24].min() > 240
    assert shown[40:].max() < 15


def test_16_bits_are_scaled(tmp_path):
    shown = decode(encode_image(save(tmp_path / "a.png", np.full((32, 32), 32768, np.uint16))))
    assert abs(shown - 127).max() <= 3


@pytest.mark.parametrize("content", [b"", b"an image", b"\x89PNG\r\n\x1a\n cut"])
def test_what_is_no_image_is_an_error_with_its_path(tmp_path, content):
    path = tmp_path / "anna.jpg"
    path.write_bytes(content)
    with pytest.raises(InvalidAnswer, match=r"anna.jpg can't be read as an image") as caught:
        encode_image(path)
    assert caught.value.code == "image"


def test_a_photograph_that_is_cut_short_is_an_error(tmp_path, reference_jpeg):
    path = tmp_path / "anna.jpg"
    path.write_bytes(reference_jpeg[: len(reference_jpeg) // 2])
    with pytest.raises(InvalidAnswer, match="truncated"):
        encode_image(path)


def test_images_come_in_order_and_once_before_the_draft(tmp_path):
    paths = tuple(save(tmp_path / f"{n}.png", np.full((16, 16, 3), n, np.uint8)) for n in (40, 200))
    system, user = chat_messages(Prompt("a", "Two people wave.", paths))
    assert system == {"role": "system", "content": INSTRUCTION}
    kinds = [part["type"] for part in user["content"]]
    assert kinds == ["text", "image_url", "text", "image_url", "text"]
    urls = [part["image_url"]["url"] for part in user["content"] if part["type"] == "image_url"]
    levels = [decode(base64.b64decode(url.partition("base64,")[2])).mean() for url in urls]
    assert levels == pytest.approx([40, 200], abs=2)
    assert user["content"][-1]["text"] == "Number of people: 2\nDraft: Two people wave."
