"""Qwen2.5's vocabulary and merges from its file of byte-pair ranks, `qwen.tiktoken`: base64 bytes and a rank a line.

transformers' TikTokenConverter reads the same file but adds a post-processor, several merges for one token and no
normaliser, so that its `tokenizer.json` differs from the published one.
"""

import base64
import json
from pathlib import Path


def write_vocabulary(ranks: Path, folder: Path) -> None:
    """Writes `vocab.json` and `merges.txt`."""
    rank_of = {}
    for line in ranks.read_bytes().splitlines():
        piece, _, rank = line.partition(b" ")
        rank_of[base64.b64decode(piece)] = int(rank)
    symbols = _byte_symbols()
    text_of = {piece: "".join(symbols[byte] for byte in piece) for piece in rank_of}
    merges = [_last_merge(piece, rank_of) for piece in sorted(rank_of, key=rank_of.__getitem__) if len(piece) > 1]
    (folder / "vocab.json").write_text(json.dumps({text_of[piece]: rank for piece, rank in rank_of.items()}))
    lines = [f"{text_of[first]} {text_of[second]}\n" for first, second in merges]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(lines))


def _byte_symbols() -> dict[int, str]:
    """GPT-2's printable symbol for every byte."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


def _last_merge(piece: bytes, ranks: dict[bytes, int]) -> tuple[bytes, bytes]:
    """The two parts that merge into `piece`: pairs of lower rank are merged first, until two parts remain."""
    parts = [bytes([byte]) for byte in piece]
    while len(parts) > 2:
        best = min(range(len(parts) - 1), key=lambda i: ranks.get(parts[i] + parts[i + 1], len(ranks)))
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
    return parts[0], parts[1]
