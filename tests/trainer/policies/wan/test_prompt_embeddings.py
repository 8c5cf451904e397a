import os
import weakref

import pytest
import torch

from trainer.errors import PolicyError
from trainer.policies.wan import prompt_embeddings
from trainer.policies.wan.options import NEGATIVE_PROMPT
from trainer.policies.wan.prompt_embeddings import PromptEmbeddings, clean, content_id

TEXTS = ["two people walk", "two people at a beach in the rain"]


def embeddings_of(checkpoint, cache, dtype=torch.float32, max_tokens=16):
    return PromptEmbeddings(checkpoint, cache, dtype, max_tokens, "cpu")


@pytest.fixture
def loads(monkeypatch):
    """A weak reference to every text encoder that is loaded."""
    encoders, load = [], prompt_embeddings.load_text_encoder

    def watched(*args):
        tokenizer, encoder = load(*args)
        encoders.append(weakref.ref(encoder))
        return tokenizer, encoder

    monkeypatch.setattr(prompt_embeddings, "load_text_encoder", watched)
    return encoders


def test_embeddings_are_those_of_the_pipeline(checkpoint, tmp_path):
    from diffusers import WanVACEPipeline

    pipeline = WanVACEPipeline.from_pretrained(checkpoint)
    texts = [*TEXTS, "two   people &amp;amp; a beach“\n", NEGATIVE_PROMPT, "a " * 40]
    embeddings = embeddings_of(checkpoint, tmp_path)
    for text in texts:
        with torch.no_grad():
            expected, _ = pipeline.encode_prompt(text, do_classifier_free_guidance=False, max_sequence_length=16)
        assert torch.equal(embeddings.get(text), expected[0])


def test_what_is_on_disk_is_not_computed_again(checkpoint, tmp_path, loads):
    embeddings = embeddings_of(checkpoint, tmp_path / "cache")
    embeddings.compute([*TEXTS, TEXTS[0]])
    assert len(loads) == 1
    assert len(list((tmp_path / "cache").iterdir())) == 2
    first = embeddings.get(TEXTS[0])
    again = embeddings_of(checkpoint, tmp_path / "cache")
    again.compute(TEXTS)
    assert torch.equal(again.get(f" {TEXTS[0]}\n"), first)
    assert len(loads) == 1
    assert first.shape == (16, 32)
    assert not first[3:].any()


def test_a_text_that_was_not_prepared_is_computed_when_it_is_needed(checkpoint, tmp_path, loads):
    embeddings_of(checkpoint, tmp_path).get(TEXTS[0])
    assert len(loads) == 1


def test_the_text_encoder_leaves_memory(checkpoint, tmp_path, loads):
    embeddings_of(checkpoint, tmp_path).compute(TEXTS)
    (encoder,) = loads
    assert encoder() is None


def test_files_are_of_one_encoder_data_type_and_length(checkpoint, tmp_path, loads):
    embeddings_of(checkpoint, tmp_path).compute(TEXTS[:1])
    half = embeddings_of(checkpoint, tmp_path, torch.bfloat16)
    half.compute(TEXTS[:1])
    embeddings_of(checkpoint, tmp_path, max_tokens=8).compute(TEXTS[:1])
    assert len(loads) == len(list(tmp_path.iterdir())) == 3
    assert half.get(TEXTS[0]).dtype == torch.bfloat16


def test_a_broken_file_is_computed_again(checkpoint, tmp_path, loads):
    embeddings = embeddings_of(checkpoint, tmp_path)
    first = embeddings.get(TEXTS[0])
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:40])
    assert torch.equal(embeddings.get(TEXTS[0]), first)
    assert len(loads) == 2


def test_prompts_are_cleaned_as_by_the_pipeline():
    from diffusers.pipelines.wan.pipeline_wan_vace import prompt_clean

    for text in ["a  b\n c ", "“a”", "&amp;lt;a&gt;", "ｗｉｄｅ，", NEGATIVE_PROMPT, "sch\u00c3\u00b6n"]:
        assert clean(text) == prompt_clean(text)


def test_content_ids_differ_for_any_change(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(os.urandom(4 << 20))
    before = content_id([path])
    assert content_id([path]) == before
    data = path.read_bytes()
    path.write_bytes(data[: 3 << 20] + bytes(1 << 20))
    assert content_id([path]) != before
    path.write_bytes(data + b"0")
    assert content_id([path]) != before


def test_without_ftfy_the_package_to_install_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ftfy", None)
    with pytest.raises(PolicyError, match=r"ftfy, which is not installed; pip install .identity-reward\[grpo\]"):
        clean("a")
