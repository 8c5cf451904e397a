import pytest
from PIL import Image

from trainer.prompts import Prompt
from trainer.prompts.references import read_upright, unreadable_references


def test_every_image_that_cannot_be_decoded_is_named_once(tmp_path):
    good, cut, other = (tmp_path / name for name in ("good.png", "cut.png", "other.png"))
    Image.effect_noise((64, 64), 50).save(good)
    cut.write_bytes(good.read_bytes()[:1000])
    other.write_bytes(b"no image")
    prompts = [Prompt("a", "x", (good, cut)), Prompt("b", "x", (cut, other)), Prompt("c", "x", (good,))]
    first, second = unreadable_references(prompts)
    assert first.startswith(f"a: {cut} can't be read: ")
    assert second.startswith(f"b: {other} can't be read: ")
    assert unreadable_references(prompts[2:]) == []


def test_images_are_turned_as_their_exif_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (40, 30), "red").save(path := tmp_path / "a.jpg", exif=exif)
    assert read_upright(path).size == (30, 40)


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1", "I;16"])
def test_every_mode_becomes_rgb(tmp_path, mode):
    Image.new("RGB", (20, 20), "red").convert("L" if mode == "I;16" else mode).convert(mode).save(tmp_path / "a.tiff")
    assert read_upright(tmp_path / "a.tiff").mode == "RGB"
