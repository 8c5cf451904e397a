import numpy as np
import pytest
from PIL import Image

from examples.people_policy.portrait_view import EMBEDDING_SIZE, HEAD_PX, PortraitReader, view_portrait
from reward_model.faces.recognition.reader import bundled_reader
from trainer.errors import PolicyError


def test_a_portrait_has_an_embedding_and_an_upright_head(prompts):
    image_HWC = np.asarray(Image.open(prompts[0].references[0]))
    view = view_portrait(bundled_reader(), image_HWC)
    assert view.embedding_D.shape == (EMBEDDING_SIZE,)
    assert np.linalg.norm(view.embedding_D) == pytest.approx(1, abs=1e-5)
    assert (view.head_HWC.shape, view.head_HWC.dtype) == ((HEAD_PX, HEAD_PX, 3), np.uint8)
    assert view_portrait(bundled_reader(), np.full((256, 256, 3), 128, np.uint8)) is None


def test_a_file_is_read_once_by_its_content(prompts, tmp_path):
    reader = PortraitReader()
    copy = tmp_path / "copy.png"
    copy.write_bytes(prompts[0].references[0].read_bytes())
    assert reader.read(prompts[0].references[0]) is reader.read(copy)
    with pytest.raises(PolicyError, match="cannot be read"):
        reader.read(tmp_path / "missing.png")
