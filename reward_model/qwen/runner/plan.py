"""Batches under a token budget, and the layout of a batch: its rows, and which rows attend to which.

A batch's rows are, end to end, the prefixes that no cache holds (each once), then every sequence's suffix. Prefixes of
equal length are neighbours, and so are suffixes of equal prefix and suffix lengths. Each such class is one attention
call on the CPU; all of them are one variable-length call on CUDA.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .sequence import TokenSequence


@dataclass(frozen=True, eq=False)
class AttentionClass:
    """Sequences of equal lengths, whose queries are the rows [start, start + count * num_queries).

    Each attends causally to `num_keys` rows of the key table: those of its prefix, then its own.
    """

    start: int
    count: int
    num_queries: int
    num_keys: int
    keys_index: np.ndarray  # [count, num_keys] rows of the key table: computed rows first, then cached prefixes


@dataclass(frozen=True, eq=False)
class BatchLayout:
    """The rows of one forward pass."""

    order: tuple[int, ...]  # index in the batch of each suffix' sequence, in the order of the rows
    new_prefixes: tuple[tuple[str, int, int], ...]  # (prefix key, first row, length)
    cached_prefixes: tuple[tuple[str, int], ...]  # (prefix key, length), in the order of the key table
    sources: tuple[tuple[TokenSequence, int, int], ...]  # (sequence, start, end) of the tokens of each run of rows
    classes: tuple[AttentionClass, ...]
    reward_rows: np.ndarray  # [R] rows of the reward tokens, sequences in `order`
    reward_classes: tuple[AttentionClass, ...]  # their attention in the last layer: queries are reward rows
    num_rows: int


def cost(sequence: TokenSequence, prefix_available: bool) -> int:
    """Tokens that a sequence adds to a batch; its prefix is free where it is cached or in the batch already."""
    return len(sequence) - (sequence.prefix_length if prefix_available else 0)


def split(sequences: Sequence[TokenSequence], token_budget: int, cached: set[str]) -> Iterator[list[int]]:
    """Indices of the sequences of each batch.

    Sequences with one prefix come together; a group over the budget is split between its suffixes. A sequence over the
    budget is a batch of its own. `cached`: keys of the prefixes that need not be computed.
    """
    groups: dict[str, list[int]] = {}
    for index, sequence in enumerate(sequences):
        groups.setdefault(sequence.prefix_key, []).append(index)
    available = set(cached)
    batch: list[int] = []
    used = 0
    for key, members in groups.items():
        whole = sum(cost(sequences[i], key in available or i != members[0]) for i in members)
        if batch and used + whole > token_budget >= whole:
            yield batch
            batch, used = [], 0
        for index in members:
            price = cost(sequences[index], key in available)
            if batch and used + price > token_budget:
                yield batch
                batch, used = [], 0
            batch.append(index)
            used += price
            available.add(key)
    if batch:
        yield batch


def lay_out(sequences: Sequence[TokenSequence], cached: set[str]) -> BatchLayout:
    """The layout of one batch. `cached`: keys of the prefixes whose keys and values are not computed again."""
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

    def shape(index: int) -> tuple[int, int]:
        sequence = sequences[index]
        return sequence.prefix_length, len(sequence) - sequence.prefix_length

    order = sorted(range(len(sequences)), key=shape)
    suffix_row = {}
    for index in order:
        suffix_row[index] = row
        sources.append((sequences[index], sequences[index].prefix_length, len(sequences[index])))
        row += shape(index)[1]
    table_row = row
    for key in old:
        first_row[key] = table_row
        table_row += lengths[key]

    reward_rows: list[int] = []
    reward_classes: list[AttentionClass] = []
    for prefix, suffix in sorted({shape(index) for index in order}):
        members = [index for index in order if shape(index) == (prefix, suffix)]
        prefix_starts = np.array([first_row.get(sequences[i].prefix_key, 0) for i in members])
        suffix_starts = np.array([suffix_row[i] for i in members])
        keys_index = np.concatenate(
            [prefix_starts[:, None] + np.arange(prefix), suffix_starts[:, None] + np.arange(suffix)], axis=1
        )
        classes.append(AttentionClass(int(suffix_starts[0]), len(members), suffix, prefix + suffix, keys_index))
        for member, keys, start in zip(members, keys_index, suffix_starts, strict=True):
            for index in sequences[member].reward_indices:
                # in the last layer a reward token is one query row that attends to everything up to itself
                reward_classes.append(AttentionClass(len(reward_rows), 1, 1, index + 1, keys[None, : index + 1]))
                reward_rows.append(int(start) + index - prefix)
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
    """Joins neighbouring one-query classes of equal numbers of keys."""
    run: list[AttentionClass] = []
    for single in [*singles, None]:
        if run and (single is None or single.num_keys != run[0].num_keys):
            index = np.concatenate([c.keys_index for c in run])
            yield AttentionClass(run[0].start, len(run), 1, run[0].num_keys, index)
            run = []
        if single is not None:
            run.append(single)
