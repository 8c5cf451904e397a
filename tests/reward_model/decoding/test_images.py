"""Decoding of image files by both rules; further tests of "upright" are in tests/service/media."""

import io

import numpy as np
import pytest
from PIL import Image

from identity_reward_client.errors import InvalidMedia
from reward_model.decoding.images import decode_image

GRADIENT = np.arange(24 * 16 * 3, dtype=np.uint32).reshape(24, 16, 3).astype(np.uint8)


def decoded(image: Image.Image, form: str = "PNG", rule: str = "as-stored", **options) -> np.ndarray:
    file = io.BytesIO()
    image.save(file, form, **options)
    return decode_image(file.getvalue(), "it", 10**6, rule)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_ignored_as_stored(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(GRADIENT)
    assert np.array_equal(decoded(image, exif=exif), GRADIENT)
    assert np.array_equal(decoded(image, exif=exif, rule="upright"), GRADIENT) == (orientation == 1)


def test_rgba_is_composed_on_white_by_both_rules():
    image = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    image.paste((0, 0, 0, 128), (0, 0, 2, 4))
    for rule in ("as-stored", "upright"):
        pixels = decoded(image, rule=rule)
        assert (pixels[:, 2:] == 255).all()
        assert (pixels[:, :2] == 127).all()


def test_transparency_of_a_palette_is_ignored_as_stored():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([200, 10, 20, 0, 0, 0])
    for form in ("PNG", "GIF"):
        assert decoded(image, form, transparency=0)[0, 0].tolist() == [200, 10, 20]
        assert decoded(image, form, transparency=0, rule="upright")[0, 0].tolist() == [255, 255, 255]


def test_transparency_of_grey_images_is_ignored_as_stored():
    image = Image.new("LA", (4, 4), (80, 0))
    assert decoded(image)[0, 0].tolist() == [80, 80, 80]
    assert decoded(image, rule="upright")[0, 0].tolist() == [255, 255, 255]


def test_sixteen_bits_are_clipped_at_255_as_stored():
    deep = Image.fromarray(np.array([[0, 100, 257, 65535]], np.uint16))
    assert decoded(deep)[0, :, 0].tolist() == [0, 100, 255, 255]
    assert decoded(deep, rule="upright")[0, :, 0].tolist() == [0, 0, 1, 255]


@pytest.mark.parametrize("rule", ["as-stored", "upright"])
def test_animations_are_refused_by_both_rules(rule):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green")]
    with pytest.raises(InvalidMedia, match="it is an animated or many-page GIF of 2 images; send one"):
        decoded(frames[0], "GIF", rule, save_all=True, append_images=frames[1:])


@pytest.mark.parametrize("rule", ["as-stored", "upright"])
@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("GIF", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_error_of_a_truncated_file_states_that_it_is_cut_short(form, options, rule):
    file = io.BytesIO()
    Image.effect_noise((200, 120), 80).convert("RGB").save(file, form, **options)
    whole = file.getvalue()
    cuts = [len(whole) * 8 // 10, len(whole) // 2]
    if form == "JPEG":
        cuts.append(len(whole) - 2)  # without its end marker
    for size in cuts:
        with pytest.raises(InvalidMedia, match=rf"it \({size} bytes\) ends too early: the file is cut short"):
            decode_image(whole[:size], "it", 10**6, rule)
