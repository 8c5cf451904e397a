import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as Pillow

from identity_reward_client.errors import InvalidMedia, LimitExceeded, RewardError
from identity_reward_client.messages import Image, Pixels
from reward_model.decoding.media_decoder import InProcessDecoder
from service.media.images import decode_image
from service.settings.settings import Settings
from tests.service.flat_settings import flat_settings

LIMITS = Settings().media
DECODER = InProcessDecoder()


def encoded(image: Pillow.Image, form: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def decoded(data: bytes) -> np.ndarray:
    return decode_image(Image(data=data), LIMITS, DECODER)


GRADIENT = Pillow.fromarray(np.arange(24 * 16 * 3, dtype=np.uint32).reshape(24, 16, 3).astype(np.uint8))


@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("BMP", {}), ("TIFF", {})])
def test_lossless_formats_keep_every_pixel(form, options):
    assert np.array_equal(decoded(encoded(GRADIENT, form, **options)), np.asarray(GRADIENT))


def test_raw_pixels_are_unchanged():
    array = np.asarray(GRADIENT)
    image = Image(pixels=Pixels(shape=list(array.shape), data=array.tobytes()))
    assert np.array_equal(decode_image(image, LIMITS, DECODER), array)


# EXIF orientation -> the upright image of the stored pixels
UPRIGHT = {
    1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a, -1), 7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}  # fmt: skip


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_rotation_is_applied(orientation):
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    data = encoded(GRADIENT, "PNG", exif=exif)
    assert np.array_equal(decoded(data), UPRIGHT[orientation](np.asarray(GRADIENT)))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_transparent_images_are_blended_with_white(mode):
    image = Pillow.new("RGBA", (8, 8), (200, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 4, 8))
    if mode == "P":
        paletted = Pillow.new("P", (8, 8), 0)
        paletted.putpalette([200, 0, 0, 0, 0, 0])
        paletted.paste(1, (0, 0, 4, 8))
        data = encoded(paletted, "PNG", transparency=0)
    else:
        data = encoded(image.convert(mode), "TIFF" if mode == "PA" else "PNG")
    pixels = decoded(data)
    assert (pixels[:, 4:] == 255).all()
    assert (pixels[:, :4] == 0).all()


def test_half_transparent_pixels_are_blended_with_white():
    assert (decoded(encoded(Pillow.new("RGBA", (2, 2), (0, 0, 0, 128)))) == 127).all()


def test_sixteen_bit_images_are_scaled_to_eight():
    deep = Pillow.fromarray(np.array([[0, 257, 32896, 65535]], np.uint16))
    assert decoded(encoded(deep))[0, :, 0].tolist() == [0, 1, 128, 255]


@pytest.mark.parametrize("mode", ["1", "L", "CMYK", "YCbCr"])
def test_other_modes_become_rgb(mode):
    pixels = decoded(encoded(Pillow.new("L", (4, 4), 255).convert(mode), "JPEG" if mode == "CMYK" else "TIFF"))
    assert pixels.shape == (4, 4, 3)
    assert pixels.min() >= 253


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "TIFF"])
def test_animated_images_are_refused(form):
    pages = [Pillow.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    data = encoded(pages[0], form, save_all=True, append_images=pages[1:])
    with pytest.raises(InvalidMedia, match=f"animated or many-page {form} of 3 images"):
        decoded(data)


def test_a_still_gif_is_decoded():
    assert decoded(encoded(GRADIENT, "GIF")).shape == (24, 16, 3)


def test_a_photograph_with_an_embedded_preview_is_decoded():
    data = encoded(GRADIENT, "MPO", save_all=True, append_images=[GRADIENT.resize((8, 12))])
    assert decoded(data).shape == (24, 16, 3)


def test_size_is_read_from_the_header_before_decoding(monkeypatch):
    data = encoded(Pillow.new("1", (9000, 9000)))
    assert len(data) < 20_000
    monkeypatch.setattr(Pillow.Image, "load", lambda *_: pytest.fail("decoded an image over the limit"))
    with pytest.raises(LimitExceeded, match="9000x9000, 81000000 pixels; at most 50000000"):
        decoded(data)


def test_a_decompression_bomb_exceeds_the_limit():
    with pytest.raises(LimitExceeded):
        decoded(encoded(Pillow.new("1", (20000, 20000))))


def test_a_truncated_file_is_an_error():
    data = encoded(Pillow.effect_noise((200, 200), 90).convert("RGB"), "JPEG")
    with pytest.raises(InvalidMedia, match="ends too early"):
        decoded(data[: len(data) // 2])


def test_floating_point_images_are_refused():
    with pytest.raises(InvalidMedia, match="floating-point"):
        decoded(encoded(Pillow.new("F", (4, 4)), "TIFF"))


def test_postscript_is_not_opened():
    with pytest.raises(InvalidMedia, match="no image that can be read"):
        decoded(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\nshowpage\n")


SEEDS = [encoded(GRADIENT, form) for form in ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP")]


@given(st.sampled_from(SEEDS), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8))
def test_damaged_files_are_decoded_or_raise_typed_errors(seed, damage):
    data = bytearray(seed)
    for position, value in damage:
        data[position % len(data)] = value
    try:
        image = decode_image(Image(data=bytes(data)), flat_settings(max_image_pixels=1_000_000).media, DECODER)
    except RewardError:
        return
    assert image.dtype == np.uint8
    assert image.shape[2:] == (3,)
