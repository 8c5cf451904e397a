import base64

import pytest
from pydantic import ValidationError

from identity_reward_client.messages import Image

DATA = bytes(range(256))
TEXT = base64.b64encode(DATA).decode()


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        f"data:image/jpeg;base64,{TEXT}",
        f"data:;base64,{TEXT}",
        base64.encodebytes(DATA).decode(),
        base64.encodebytes(DATA).decode().replace("\n", "\r\n"),
        "data:image/png;base64," + base64.encodebytes(DATA).decode(),
    ],
    ids=["plain", "data URL", "data URL without a type", "lines", "lines with CR", "data URL in lines"],
)
def test_base64_is_read_as_common_tools_write_it(text):
    assert Image(data=text).data == DATA


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("%%%", "not base64"),
        (TEXT[:-3], "not base64"),
        ("QUJD QUJD", "not base64"),
        ("data:image/jpeg,abc", "a data URL must be data:TYPE;base64,"),
        ("data:image/jpeg;base64", "a data URL must be data:TYPE;base64,"),
    ],
)
def test_other_text_is_refused(text, message):
    with pytest.raises(ValidationError, match=message):
        Image(data=text)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview], ids=lambda kind: kind.__name__)
def test_buffers_are_taken_as_they_are_and_become_base64_in_json(kind):
    image = Image(data=kind(DATA))
    assert bytes(image.data) == DATA
    assert Image.model_validate_json(image.model_dump_json()).data == DATA


def test_other_types_are_refused():
    with pytest.raises(ValidationError, match="expected base64 text or bytes, got int"):
        Image(data=5)
