"""Face tokens of rendered clips with permuted references, mirrored clips and foreign references."""

import numpy as np
import pytest
import torch

from reward_model.data.corruption_kinds import CORRUPTION_KINDS
from reward_model.data.records import read_pairs
from reward_model.training.data.casts import by_cast, comparisons_of, corruptions_of
from reward_model.training.preferences.groups import Augmentation, load_group
from reward_model.training.supervision.face_tokens import token_shares


def test_face_tokens_follow_permuted_references(people, media, find, cast):
    plain = load_group(media, people / "train.jsonl", cast, find_faces=find)
    assert len(plain.faces) == len(plain.sequences)
    assert {*np.concatenate([faces.reference_F for faces in plain.faces])} >= {*range(len(cast[0].references))}
    for sequence, faces in zip(plain.sequences, plain.faces, strict=True):
        slices, height, width = sequence.clips[-1].grid
        assert faces.shares_FT.shape == (len(faces.slice_F), height * width // 4)
        assert np.allclose(faces.shares_FT.sum(1), 1, atol=1e-5)
        assert set(faces.slice_F) <= set(range(slices))
    modes = corruptions_of(cast)
    for name, faces in zip(comparisons_of(cast)[0], plain.faces, strict=True):
        assert faces.severity_M.tolist() == pytest.approx([modes[name].get(mode, 0.0) for mode in CORRUPTION_KINDS])
    assert any(modes.values())
    for seed in range(6):
        permuted = load_group(
            media, people / "train.jsonl", cast, Augmentation(seed, permute_references=True), find_faces=find
        )
        for a, b, first, second in zip(plain.sequences, permuted.sequences, plain.faces, permuted.faces, strict=True):
            for before, after in zip(first.reference_F, second.reference_F, strict=True):
                assert (before < 0) == (after < 0)
                if before >= 0:
                    assert torch.equal(a.clips[before].patches, b.clips[after].patches)


def test_foreign_references_match_no_face(people, media, find):
    first, second = by_cast(read_pairs(people / "train.jsonl"))[:2]
    others = (people / "train.jsonl", second[0])
    group = load_group(media, people / "train.jsonl", first, Augmentation(1, num_foreign=2, others=others), find)
    own_keys = {clip.key for clip in group.sequences[0].clips[:-1]}
    for sequence, faces in zip(group.sequences[-2:], group.faces[-2:], strict=True):
        foreign_indices = {index for index, clip in enumerate(sequence.clips[:-1]) if clip.key not in own_keys}
        assert foreign_indices
        assert foreign_indices.isdisjoint(faces.reference_F)
        corruption = "wrong-person" if len(foreign_indices) == len(sequence.clips) - 1 else "one-replaced"
        assert faces.severity_M.tolist() == [float(mode == corruption) for mode in CORRUPTION_KINDS]


def test_mirrored_clips_have_mirrored_face_tokens(people, media, find, cast):
    plain = load_group(media, people / "train.jsonl", cast, find_faces=find)
    groups = [
        load_group(media, people / "train.jsonl", cast, Augmentation(seed, mirror=True), find_faces=find)
        for seed in range(4)
    ]
    num_unchanged = num_mirrored = 0
    for group in groups:
        for a, b, first, second in zip(plain.sequences, group.sequences, plain.faces, group.faces, strict=True):
            _, height, width = a.clips[-1].grid
            shape = (-1, height // 2, width // 2)
            before, after = first.shares_FT.reshape(shape), second.shares_FT.reshape(shape)
            unchanged = torch.equal(a.clips[-1].patches, b.clips[-1].patches)
            assert np.allclose(after, before if unchanged else before[..., ::-1], atol=1e-6)
            num_unchanged, num_mirrored = num_unchanged + unchanged, num_mirrored + (not unchanged)
    assert num_unchanged
    assert num_mirrored


def test_token_shares_follow_the_covered_area_of_a_box():
    """The box covers the second column of a 2x4 grid of tokens and half of the third."""
    shares = token_shares(np.array([1 / 4, 0, 5 / 8, 1]), (1, 4, 8), mirrored=False).reshape(2, 4)
    assert shares.sum() == pytest.approx(1)
    assert np.allclose(shares[0], shares[1])
    # a fully covered token has weight 1, one half covered 0.5 ** 1.5
    assert shares[0, 2] / shares[0, 1] == pytest.approx(0.5**1.5, rel=1e-3)
    assert shares[0, [0, 3]].max() < 1e-4
    mirrored = token_shares(np.array([1 / 4, 0, 5 / 8, 1]), (1, 4, 8), mirrored=True).reshape(2, 4)
    assert np.allclose(mirrored, shares[:, ::-1])
