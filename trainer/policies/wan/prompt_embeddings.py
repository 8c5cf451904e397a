"""Embeddings of prompts by UMT5, computed once and kept on disk. L tokens, D numbers each."""

from __future__ import annotations

import gc
import html
import json
import logging
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from hashlib import sha256
from importlib import import_module
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import distributed

from trainer.errors import PolicyError

from .components import INSTALL, load_text_encoder

log = logging.getLogger("identity_reward.trainer")
# of a large file, an identity reads this much at the beginning and in blocks that are spread over it
_HEAD_BYTES, _BLOCK_BYTES, _BLOCKS = 1 << 20, 1 << 12, 256
_NAME = "embedding"


class PromptEmbeddings:
    """The text encoder is in memory only while prompts are computed whose embeddings are not on disk.

    A file is named by the text, the text encoder, its data type and the number of tokens.
    """

    def __init__(self, checkpoint: Path, cache: Path, dtype: torch.dtype, max_tokens: int, device: torch.device | str):
        """`checkpoint` as of `components`; `cache` is a folder, which may be shared by runs and processes."""
        self._checkpoint, self._cache = checkpoint, cache
        self._dtype, self._max_tokens, self._device = dtype, max_tokens, device

    def compute(self, texts: Sequence[str]) -> None:
        """Puts the embeddings of all `texts` on disk. Of several processes, the first computes what is missing."""
        with _first_process_first():
            missing = [text for text in dict.fromkeys(map(clean, texts)) if self._read(text) is None]
            if missing:
                self._compute(missing)

    def get(self, text: str) -> torch.Tensor:
        """[max_tokens, D] on the device, zeros after the text's own tokens. Computes what is not on disk."""
        text = clean(text)
        embedding = self._read(text)
        if embedding is None:
            self._compute([text])
            embedding = self._read(text)
        if embedding is None:
            raise PolicyError(f"the prompt embeddings in {self._cache} can't be read back")
        padded = embedding.new_zeros(self._max_tokens, embedding.shape[1])
        padded[: len(embedding)] = embedding
        return padded.to(self._device)

    @torch.no_grad()
    def _compute(self, texts: Sequence[str]) -> None:
        # to stderr as the progress of a run: the text encoder takes minutes to load
        print(f"computing the embeddings of {len(texts)} prompts, to be kept in {self._cache}", file=sys.stderr)
        tokenizer, encoder = load_text_encoder(self._checkpoint, self._dtype, self._device)
        self._cache.mkdir(parents=True, exist_ok=True)
        # one at a time: an embedding does not depend on the other prompts
        for text in texts:
            tokens = tokenizer(
                [text],
                padding="max_length",
                max_length=self._max_tokens,
                truncation=True,
                add_special_tokens=True,
                return_attention_mask=True,
                return_tensors="pt",
            )
            ids, mask = tokens.input_ids.to(self._device), tokens.attention_mask.to(self._device)
            embedding = encoder(ids, mask).last_hidden_state[0, : int(mask.sum())]
            self._write(text, embedding.to(self._dtype).cpu().contiguous())
        del encoder
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _write(self, text: str, embedding_LD: torch.Tensor) -> None:
        path = self._path(text)
        # processes that share the folder never see a part of a file
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        save_file({_NAME: embedding_LD}, partial)
        partial.replace(path)

    def _read(self, text: str) -> torch.Tensor | None:
        path = self._path(text)
        if not path.is_file():
            return None
        try:
            return load_file(path)[_NAME]
        except (SafetensorError, OSError, KeyError):
            log.warning("%s can't be read, and is computed again", path)
            return None

    def _path(self, text: str) -> Path:
        key = json.dumps([self._encoder_id, str(self._dtype), self._max_tokens, text])
        return self._cache / f"{sha256(key.encode()).hexdigest()}.safetensors"

    @cached_property
    def _encoder_id(self) -> str:
        folders = [self._checkpoint / name for name in ("text_encoder", "tokenizer")]
        return content_id([path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()])


def clean(text: str) -> str:
    """A prompt as diffusers' pipelines for Wan clean it: ftfy, HTML entities, runs of white space."""
    try:
        ftfy = import_module("ftfy")
    except ImportError:
        raise PolicyError(f"prompts are cleaned by ftfy, which is not installed; {INSTALL}") from None
    text = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
    return re.sub(r"\s+", " ", text).strip()


def content_id(paths: Sequence[Path]) -> str:
    """sha256 of names, sizes and contents. Of large files it reads the header and blocks all over the file: weights of
    another training differ everywhere."""
    digest = sha256()
    for path in paths:
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(_HEAD_BYTES))
            for block in range(_BLOCKS if size > _HEAD_BYTES else 0):
                file.seek(size * block // _BLOCKS)
                digest.update(file.read(_BLOCK_BYTES))
    return digest.hexdigest()


@contextmanager
def _first_process_first() -> Iterator[None]:
    """The first process runs the context before the others; one process alone just runs it."""
    several = distributed.is_available() and distributed.is_initialized()
    if several and distributed.get_rank():
        distributed.barrier()
    yield
    if several and not distributed.get_rank():
        distributed.barrier()
