from PIL import Image

from trainer.prompts import Prompt
from trainer.prompts.references import unreadable_references


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
