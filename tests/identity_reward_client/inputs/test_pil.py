import io

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest

from identity_reward_client.errors import InvalidMedia, InvalidRequest
from identity_reward_client.frame_sampling import FrameSampling
from identity_reward_client.inputs.media import to_image, to_references, to_video
from identity_reward_client.inputs.tensors import from_pixels

ORIENTATION = 0x0112


@pytest.fixture
def photo():
    """RGB, 6 x 4, no two pixels alike."""
    return PIL.Image.fromarray(np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3)


def save(image, path, **options):
    image.save(path, **options)
    return path


def decode(message, rule):
    """RGB pixels as the server decodes them, by both rules of FrameSampling.reference_files."""
    if message.pixels is not None:
        return from_pixels(message.pixels)
    image = PIL.Image.open(io.BytesIO(message.data))
    if rule == "upright":
        image = PIL.ImageOps.exif_transpose(image)
    if image.has_transparency_data if rule == "upright" else image.mode == "RGBA":
        image = image.convert("RGBA")
        image = PIL.Image.alpha_composite(PIL.Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))


def orientation(value):
    exif = PIL.Image.Exif()
    exif[ORIENTATION] = value
    return exif


def half_transparent(mode):
    image = PIL.Image.new("RGBA", (6, 4), (200, 20, 20, 255))
    image.paste((0, 0, 255, 64), (0, 0, 3, 4))
    return image.convert(mode)


@pytest.fixture
def files(tmp_path, photo):
    palette = photo.convert("P")
    palette.info["transparency"] = 0
    return {
        "plain.jpg": save(photo, tmp_path / "plain.jpg"),
        "turned.jpg": save(photo, tmp_path / "turned.jpg", exif=orientation(6)),
        "mirrored.png": save(photo, tmp_path / "mirrored.png", exif=orientation(2)),
        "cmyk_turned.jpg": save(photo.convert("CMYK"), tmp_path / "cmyk_turned.jpg", exif=orientation(8)),
        "cutout.png": save(half_transparent("RGBA"), tmp_path / "cutout.png"),
        "cutout.webp": save(half_transparent("RGBA"), tmp_path / "cutout.webp", lossless=True, exif=orientation(3)),
        "grey_cutout.png": save(half_transparent("LA"), tmp_path / "grey_cutout.png"),
        "palette.png": save(palette, tmp_path / "palette.png"),
        "grey.png": save(photo.convert("L"), tmp_path / "grey.png"),
        "animation.gif": save(photo.convert("P"), tmp_path / "animation.gif"),
    }


NAMES = [
    "plain.jpg", "turned.jpg", "mirrored.png", "cmyk_turned.jpg", "cutout.png", "cutout.webp", "grey_cutout.png",
    "palette.png", "grey.png", "animation.gif",
]  # fmt: skip


@pytest.mark.parametrize("rule", ["upright", "as-stored"])
@pytest.mark.parametrize("name", NAMES)
def test_opened_file_has_the_pixels_of_its_path(files, name, rule):
    with PIL.Image.open(files[name]) as image:
        sent = to_image(image)
    np.testing.assert_array_equal(decode(sent, rule), decode(to_image(files[name]), rule))


@pytest.mark.parametrize("name", ["plain.jpg", "grey.png", "animation.gif"])
def test_plain_image_is_sent_as_pixels(files, name):
    with PIL.Image.open(files[name]) as image:
        assert to_image(image).pixels.shape == [4, 6, 3]


def test_image_of_16_bits_keeps_them(tmp_path):
    deep = PIL.Image.fromarray(np.linspace(0, 65535, 24).astype(np.uint16).reshape(4, 6))
    with PIL.Image.open(save(deep, tmp_path / "deep.png")) as image:
        sent = PIL.Image.open(io.BytesIO(to_image(image).data))
    np.testing.assert_array_equal(np.asarray(sent), np.asarray(deep))


def test_image_in_memory_needs_no_file(photo):
    np.testing.assert_array_equal(from_pixels(to_image(photo).pixels), np.asarray(photo))


def test_metadata_of_a_photograph_is_neither_sent_nor_changed(tmp_path, photo):
    exif = orientation(6)
    exif[0x010E] = "taken at home"
    with PIL.Image.open(save(photo, tmp_path / "a.jpg", exif=exif)) as image:
        sent = to_image(image)
        assert image.getexif()[0x010E] == "taken at home"
    assert b"taken at home" not in sent.data
    assert PIL.Image.open(io.BytesIO(sent.data)).getexif()[ORIENTATION] == 6


def test_floating_point_pixels_are_refused():
    with pytest.raises(InvalidMedia, match="value_range"):
        to_image(PIL.Image.new("F", (4, 5)))


def test_file_that_ends_early_is_invalid_media(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(PIL.Image.fromarray(noise), tmp_path / "cut.jpg")
    path.write_bytes(path.read_bytes()[:2000])
    with PIL.Image.open(path) as image, pytest.raises(InvalidMedia, match="truncated"):
        to_image(image)


def test_single_image_where_a_list_is_expected_is_refused(photo):
    with pytest.raises(InvalidRequest, match="list of images"):
        to_references(photo)


def test_list_of_images_with_orientation_is_a_video_of_files(files):
    with PIL.Image.open(files["turned.jpg"]) as image:
        video = to_video([image] * 3, 8, FrameSampling("uniform-2", num_frames=2))
    assert [image.data is not None for image in video.images] == [True, True]
    assert (video.num_source_frames, video.frame_indices) == (3, [0, 2])
