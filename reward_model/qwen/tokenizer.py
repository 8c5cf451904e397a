"""Tokenizer of Qwen2.5-VL reward models. Special tokens are placed by id: a caller's text never becomes one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

# Qwen2.5's special tokens in the order of their ids, which follow the 151,643 byte-pair ranks
QWEN_SPECIALS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
    "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
    "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
# ... and the added tokens after those, which are no special tokens
QWEN_ADDED = (
    "<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>",
    "<|file_sep|>",
)  # fmt: skip
_QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class TextTokenizer:
    """A `tokenizers` tokenizer without truncation or padding. Safe to use from several threads."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        tokenizer.no_truncation()
        tokenizer.no_padding()
        tokenizer.encode_special_tokens = True

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """Ids of plain text; what looks like a special token is encoded as text."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids; special tokens are left out."""
        return self._tokenizer.decode(list(ids))

    def special(self, token: str) -> int:
        """The id of a special token; KeyError where the vocabulary lacks it."""
        token_id = self._tokenizer.token_to_id(token)
        if token_id is None:
            raise KeyError(f"the tokenizer has no token {token}")
        return token_id

    def add_special(self, tokens: Sequence[str]) -> None:
        """Appends the tokens that the vocabulary lacks, in order."""
        self._tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in tokens])

    def to_json(self) -> str:
        """The text of its `tokenizer.json`."""
        return self._tokenizer.to_str(pretty=True)


def byte_tokenizer(specials: Sequence[str]) -> TextTokenizer:
    """One token a byte, without merges: 256 ids, then `specials`. For tests and models with random weights."""
    alphabet = {symbol: i for i, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = TextTokenizer(_byte_level(alphabet, [], r".{1,64}"))
    tokenizer.add_special(specials)
    return tokenizer


def load_tokenizer(folder: Path) -> TextTokenizer:
    """From `tokenizer.json`, or from `vocab.json` and `merges.txt` plus Qwen's special and added tokens.

    FileNotFoundError where the folder holds neither.
    """
    if (folder / "tokenizer.json").is_file():
        return TextTokenizer(Tokenizer.from_file(str(folder / "tokenizer.json")))
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        vocabulary, merges = models.BPE.read_file(str(folder / "vocab.json"), str(folder / "merges.txt"))
        tokenizer = TextTokenizer(_byte_level(vocabulary, merges, _QWEN_SPLIT))
        tokenizer.add_special(QWEN_SPECIALS)
        tokenizer._tokenizer.add_tokens([AddedToken(token, special=False, normalized=False) for token in QWEN_ADDED])
        return tokenizer
    raise FileNotFoundError(f"{folder} holds no tokenizer: neither tokenizer.json nor vocab.json with merges.txt")


def _byte_level(vocabulary: dict[str, int], merges: list[tuple[str, str]], split: str) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(split), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
