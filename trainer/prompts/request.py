"""Chat message that asks a vision-language model for a prompt, with reference images as data URLs."""

from __future__ import annotations

import base64
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from .answer import InvalidAnswer
from .files import Prompt

# longest side of an image that is sent: enough to describe a person, and fewer tokens than a photograph has
MAX_SIDE_PX = 1024
JPEG_QUALITY = 90
# formats that run no program and read no other file
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")

# The prompts that the Identity-GRPO release ships have this form; its own instruction is not published.
INSTRUCTION = """\
You write prompts for a model that generates a video of the people in reference images. You get the images, one person \
in each, and a draft. Answer with the draft rewritten so that it describes exactly the people in the images.

Rules:
- The first sentence says how many people there are, what they do and where. Keep the action, the place and the camera \
of the draft, and add none.
- Then one sentence for each person, in the order of the images: "The first person is ...", "The second person is \
...". Say what is visible: sex, approximate age, skin tone, hair, facial hair, glasses, clothes. Where the draft \
describes a person in another way, the image is right.
- Describe only what you see. Give no names, and do not guess who the people are.
- Never mention images, pictures, photographs or references, nor their backgrounds.
- English, 40 to 100 words, one paragraph.

Answer with one JSON object and nothing else:
{"people": ["<the description of the first person, in the words of the prompt>", ...], "prompt": "<the prompt>"}
"people" has exactly one entry for each image."""


def chat_messages(prompt: Prompt) -> list[dict[str, Any]]:
    """The messages of one request: the instruction, then each image after its number, then the draft.

    Raises InvalidAnswer with code "image" for a reference that is no readable image.
    """
    count = len(prompt.references)
    content: list[dict[str, Any]] = []
    for number, path in enumerate(prompt.references, 1):
        content += [_text(f"Image {number} of {count}:"), {"type": "image_url", "image_url": {"url": _data_url(path)}}]
    content.append(_text(f"Number of people: {count}\nDraft: {prompt.text}"))
    return [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": content}]


def encode_image(path: Path) -> bytes:
    """JPEG of an image: upright, transparency on white, its longest side at most MAX_SIDE_PX.

    Raises InvalidAnswer with code "image" for a file that is no readable image.
    """
    try:
        with warnings.catch_warnings():
            # Pillow's own limit is an error at twice the size that it warns of
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as opened:
                opened.draft(None, (MAX_SIDE_PX, MAX_SIDE_PX))  # a large JPEG is decoded at a fraction of its size
                image = _to_rgb(ImageOps.exif_transpose(opened))
        image.thumbnail((MAX_SIDE_PX, MAX_SIDE_PX), Image.Resampling.LANCZOS)
    except Exception as error:  # a damaged file may raise anything
        raise InvalidAnswer("image", f"{path} can't be read as an image: {error or type(error).__name__}") from None
    file = io.BytesIO()
    image.save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits, which Pillow would clip at 255; 65535 / 255 = 257
        image = Image.fromarray((np.asarray(image).clip(0, 65535) // 257).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _data_url(path: Path) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(encode_image(path)).decode()}"
