"""Sequences -> batches under a token budget, and a batch's layout: which rows are computed, and who attends to what.

A batch's rows are, end to end: the prefixes that no cache holds (each once), then every sequence's suffix. Prefixes of
equal length are neighbours, and so are suffixes with equal prefix and suffix lengths: each such class is one attention
call on the CPU, and all of them together are one variable-length call on CUDA.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .sequence import TokenSequence


@dataclass(frozen=True, eq=False)
class AttentionClass:
    """`count` sequences whose queries are rows [start, start + count * num_queries), each attending causally to
    `num_keys` rows of the key table: its prefix's, then its own."""

    start: int
    count: int
    num_queries: int
    num_keys: int
    keys_index: np.ndarray  # [count, num_keys] rows of the key table: computed rows first, then cached prefixes


@dataclass(frozen=True, eq=False)
class BatchLayout:
    """One forward pass. `sources` tells for every run of rows which tokens they are: (sequence, start, end)."""

    order: tuple[int, ...]  # suffixes' sequences, as numbers in the batch, in the order of their rows
    new_prefixes: tuple[tuple[str, int, int], ...]  # (prefix key, first row, length)
    cached_prefixes: tuple[tuple[str, int], ...]  # (prefix key, length), in the order of the key table
    sources: tuple[tuple[TokenSequence, int, int], ...]
    classes: tuple[AttentionClass, ...]
    reward_rows: np.ndarray  # [R] rows whose hidden state is wanted, sequences in `order`
    reward_classes: tuple[AttentionClass, ...]  # their attention in the last layer: queries are reward rows
    num_rows: int


def cost(sequence: TokenSequence, prefix_is_known: bool) -> int:
    """Tokens that a sequence adds to a batch."""
    return len(sequence) - (sequence.prefix_length if prefix_is_known else 0)


def split(sequences: Sequence[TokenSequence], token_budget: int, known: set[str]) -> Iterator[list[int]]:
    """Numbers of the sequences of each batch. Sequences with one prefix come together; a group over the budget is split
    between its suffixes. A sequence over the budget by itself is a batch by itself."""
    groups: dict[str, list[int]] = {}
    for number, sequence in enumerate(sequences):
        groups.setdefault(sequence.prefix_key, []).append(number)
    known = set(known)
    batch: list[int] = []
    used = 0
    for key, members in groups.items():
        whole = sum(cost(sequences[n], key in known or n != members[0]) for n in members)
        if batch and used + whole > token_budget >= whole:
            yield batch
            batch, used = [], 0
        for number in members:
            price = cost(sequences[number], key in known)
            if batch and used + price > token_budget:
                yield batch
                batch, used = [], 0
            batch.append(number)
            used += price
            known.add(key)
    if batch:
        yield batch


def lay_out(sequences: Sequence[TokenSequence], cached: set[str]) -> BatchLayout:
    """`cached`: keys of the prefixes whose keys and values need not be computed."""
    lengths = {s.prefix_key: s.prefix_length for s in sequences}
    owners = {s.prefix_key: s for s in reversed(sequences)}
    new = sorted((key for key in lengths if key not in cached and lengths[key]), key=lambda key: lengths[key])
    old = [key for key in lengths if key in cached and lengths[key]]

    sources, new_prefixes, classes, row = [], [], [], 0
    first_row: dict[str, int] = {}
    for key in new:
        first_row[key] = row
        new_prefixes.append((key, row, lengths[key]))
        sources.append((owners[key], 0, lengths[key]))
        row += lengths[key]
    for length in sorted({lengths[key] for key in new}):
        starts = np.array([first_row[key] for key in new if lengths[key] == length])
        keys_index = starts[:, None] + np.arange(length)
        classes.append(AttentionClass(int(starts[0]), len(starts), length, length, keys_index))

    def shape(number: int) -> tuple[int, int]:
        s = sequences[number]
        return s.prefix_length, len(s) - s.prefix_length

    order = sorted(range(len(sequences)), key=shape)
    suffix_row = {}
    for number in order:
        suffix_row[number] = row
        sources.append((sequences[number], sequences[number].prefix_length, len(sequences[number])))
        row += shape(number)[1]
    table = row
    for key in old:
        first_row[key] = table
        table += lengths[key]

    reward_rows, reward_classes, wanted = [], [], 0
    for prefix, suffix in sorted({shape(number) for number in order}):
        members = [number for number in order if shape(number) == (prefix, suffix)]
        prefix_starts = np.array([first_row.get(sequences[n].prefix_key, 0) for n in members])
        own_starts = np.array([suffix_row[n] for n in members])
        keys_index = np.concatenate(
            [prefix_starts[:, None] + np.arange(prefix), own_starts[:, None] + np.arange(suffix)], axis=1
        )
        classes.append(AttentionClass(int(own_starts[0]), len(members), suffix, prefix + suffix, keys_index))
        for member, keys, own in zip(members, keys_index, own_starts, strict=True):
            for index in sequences[member].reward_indices:
                # the last layer: one query row, which sees everything up to itself
                reward_classes.append(AttentionClass(wanted, 1, 1, index + 1, keys[None, : index + 1]))
                reward_rows.append(int(own) + index - prefix)
                wanted += 1
    return BatchLayout(
        order=tuple(order),
        new_prefixes=tuple(new_prefixes),
        cached_prefixes=tuple((key, lengths[key]) for key in old),
        sources=tuple(sources),
        classes=tuple(classes),
        reward_rows=np.array(reward_rows),
        reward_classes=tuple(_merged(reward_classes)),
        num_rows=row,
    )


def _merged(singles: list[AttentionClass]) -> Iterator[AttentionClass]:
    """Neighbouring one-query classes with as many keys become one class."""
    run: list[AttentionClass] = []
    for single in [*singles, None]:
        if run and (single is None or single.num_keys != run[0].num_keys):
            index = np.concatenate([c.keys_index for c in run])
            yield AttentionClass(run[0].start, len(run), 1, run[0].num_keys, index)
            run = []
        if single is not None:
            run.append(single)
