"""What a reward is taught of rendered clips: which tokens are whose, how they fail, the losses, and a run with them."""

from math import log

import numpy as np
import pytest
import torch

from reward_model.data.corruption_kinds import CORRUPTION_KINDS
from reward_model.data.records import read_pairs
from reward_model.qwen.preprocess import Preprocessor
from reward_model.qwen.runner.plan import lay_out
from reward_model.training.config_file import read_config
from reward_model.training.errors import TrainingError
from reward_model.training.loop.journal import read_metrics
from reward_model.training.preferences.groups import Augmentation, by_cast, compared, load_group, modes_of
from reward_model.training.preferences.initial import initial_model
from reward_model.training.preferences.media import FileMedia
from reward_model.training.preferences.packed import PackedRewards
from reward_model.training.preferences.run import train
from reward_model.training.vision_pretraining.face_tokens import HeadFinder, KnownHeads
from reward_model.training.vision_pretraining.ground_truth import HeadTruth
from reward_model.training.vision_pretraining.supervision import UNMATCHED, HeadSupervision, rows_of
from tests.reward_model.training.pairs import make_data


@pytest.fixture(scope="module")
def started():
    config = read_config("smoke")
    return initial_model(config.model, 0)


@pytest.fixture(scope="module")
def media(started):
    model, tokenizer = started
    return FileMedia(Preprocessor(model.config, tokenizer))


@pytest.fixture(scope="module")
def find(people, started):
    return HeadFinder(HeadTruth(people), started[0].config.frame_sampling)


@pytest.fixture(scope="module")
def cast(people):
    """The one with the most people."""
    casts = by_cast(read_pairs(people / "train.jsonl"))
    return max(casts, key=lambda pairs: len(pairs[0].references))


def test_heads_follow_their_pictures(people, media, find, cast):
    plain = load_group(media, people / "train.jsonl", cast, find_heads=find)
    assert len(plain.heads) == len(plain.sequences)
    assert {*np.concatenate([heads.reference_H for heads in plain.heads])} >= {*range(len(cast[0].references))}
    for sequence, heads in zip(plain.sequences, plain.heads, strict=True):
        slices, height, width = sequence.clips[-1].grid
        assert heads.shares_HT.shape == (len(heads.slice_H), height * width // 4)
        assert np.allclose(heads.shares_HT.sum(1), 1, atol=1e-5)
        assert set(heads.slice_H) <= set(range(slices))
    modes = modes_of(cast)
    for name, heads in zip(compared(cast)[0], plain.heads, strict=True):
        assert heads.severity_M.tolist() == pytest.approx([modes[name].get(mode, 0.0) for mode in CORRUPTION_KINDS])
    assert any(modes.values())
    for seed in range(6):
        turned = load_group(
            media, people / "train.jsonl", cast, Augmentation(seed, permute_references=True), find_heads=find
        )
        for a, b, first, second in zip(plain.sequences, turned.sequences, plain.heads, turned.heads, strict=True):
            for before, after in zip(first.reference_H, second.reference_H, strict=True):
                assert (before < 0) == (after < 0)
                if before >= 0:
                    assert torch.equal(a.clips[before].patches, b.clips[after].patches)


def test_a_stranger_is_nobodys_picture(people, media, find):
    first, second = by_cast(read_pairs(people / "train.jsonl"))[:2]
    others = (people / "train.jsonl", second[0])
    group = load_group(media, people / "train.jsonl", first, Augmentation(1, foreign=2, others=others), find)
    own = {clip.key for clip in group.sequences[0].clips[:-1]}
    for sequence, heads in zip(group.sequences[-2:], group.heads[-2:], strict=True):
        strangers = {place for place, clip in enumerate(sequence.clips[:-1]) if clip.key not in own}
        assert strangers
        assert strangers.isdisjoint(heads.reference_H)
        wrong = "wrong-person" if len(strangers) == len(sequence.clips) - 1 else "one-replaced"
        assert heads.severity_M.tolist() == [float(mode == wrong) for mode in CORRUPTION_KINDS]


def test_mirrored_clips_have_mirrored_heads(people, media, find, cast):
    plain = load_group(media, people / "train.jsonl", cast, find_heads=find)
    turned = [
        load_group(media, people / "train.jsonl", cast, Augmentation(seed, mirror=True), find_heads=find)
        for seed in range(4)
    ]
    same = flipped = 0
    for group in turned:
        for a, b, first, second in zip(plain.sequences, group.sequences, plain.heads, group.heads, strict=True):
            _, height, width = a.clips[-1].grid
            shape = (-1, height // 2, width // 2)
            before, after = first.shares_HT.reshape(shape), second.shares_HT.reshape(shape)
            kept = torch.equal(a.clips[-1].patches, b.clips[-1].patches)
            assert np.allclose(after, before if kept else before[..., ::-1], atol=1e-6)
            same, flipped = same + kept, flipped + (not kept)
    assert same
    assert flipped


def test_rows_of_shared_prefixes_are_each_sequences_tokens(people, media, cast):
    other = by_cast(read_pairs(people / "dev.jsonl"))[0]
    groups = [
        load_group(media, people / name, pairs, Augmentation(0, permute_references=True))
        for name, pairs in (("train.jsonl", cast), ("dev.jsonl", other))
    ]
    sequences = [sequence for group in groups for sequence in group.sequences]
    layout = lay_out(sequences, set())
    tokens = np.concatenate([sequence.token_ids[start:end] for sequence, start, end in layout.sources])
    assert len(tokens) < sum(map(len, sequences))
    for number, rows in rows_of(layout).items():
        assert np.array_equal(tokens[rows], sequences[number].token_ids)
    assert len(rows_of(layout)) == len(sequences)


def test_losses_by_hand(people, media, cast):
    """Equal scores: attention is spread over all that a token sees; every answer of a matching head and of a failure
    has odds of three to one."""
    group = load_group(media, people / "train.jsonl", cast)
    sequence = group.sequences[0]
    layout = lay_out([sequence], set())
    video, picture = sequence.clips[-1], sequence.clips[0]
    per_slice = video.num_tokens // video.grid[0]
    shares = np.zeros((2, per_slice), np.float32)
    shares[0, 3] = shares[1, 1] = 1
    severity = np.zeros(len(CORRUPTION_KINDS), np.float32)
    severity[:2] = 1, 0.5
    heads = KnownHeads(shares, np.array([0, 1]), np.array([0, -1]), severity)
    supervision = HeadSupervision(8)
    for answers in (supervision.matched, supervision.failures):
        torch.nn.init.zeros_(answers.weight)
        torch.nn.init.constant_(answers.bias, log(3))
    query = key = torch.zeros(2, len(sequence), 4)
    hidden = torch.randn(len(sequence), 8), torch.randn(1, 8)
    attention, matching, failures = supervision(query, key, *hidden, layout, [sequence], [heads]).tolist()
    visible = [video.start + 3 + 1, video.start + per_slice + 1 + 1]
    expected = [log(visible[0] / picture.num_tokens), UNMATCHED * log(visible[1])]
    assert attention == pytest.approx(sum(expected) / 2, rel=1e-5)
    assert matching == pytest.approx((-log(3 / 4) - log(1 / 4)) / 2, rel=1e-5)
    wrong = -1.5 * log(3 / 4) - (len(CORRUPTION_KINDS) - 1.5) * log(1 / 4)
    assert failures == pytest.approx(wrong / len(CORRUPTION_KINDS), rel=1e-5)
    nobody = KnownHeads(shares[:0], np.zeros(0, np.int64), np.zeros(0, np.int64), severity)
    assert supervision(query, key, *hidden, layout, [sequence], [nobody]).tolist() == pytest.approx([0, 0, failures])


def test_rewards_are_the_same_and_all_losses_teach_the_language_model(people, media, find, started, cast):
    model, _ = started
    group = load_group(media, people / "train.jsonl", cast, find_heads=find)
    packed = PackedRewards(model.requires_grad_(True), supervision=HeadSupervision(model.head.weight.shape[1]))
    rewards, losses = packed(group.sequences, group.heads)
    layers = len(model.body.language_model.layers)
    assert torch.equal(rewards, packed(group.sequences))
    taught_by = ("layers.0.self_attn.k_proj", "layers.0.mlp.up_proj", f"layers.{layers - 1}.mlp.up_proj")
    for place, taught in enumerate(taught_by):
        packed.zero_grad()
        losses[place].backward(retain_graph=True)
        weight = model.body.language_model.get_parameter(f"{taught}.weight")
        assert float(weight.grad.abs().max()) > 0
        # nothing of the head, which reads rewards
        assert model.head.weight.grad is None or not model.head.weight.grad.any()


def settings(people, **more):
    given = {
        "data.clean": people / "train.jsonl", "data.dev": people / "dev.jsonl", "data.groups": True,
        "data.foreign_references": 1, "data.mirror": True, "batch": 2, "micro_batch": 1, "steps": 8,
        "evaluate_every": 8, "save_every": 4, "supervision": "{attention: 1.0, matching: 1.0}", **more,
    }  # fmt: skip
    return read_config("smoke", [f"{key}={value}" for key, value in given.items()])


def test_a_run_with_supervision_goes_on_where_it_stopped(people, tmp_path):
    folder = train(settings(people), tmp_path / "whole")
    told = [line for line in read_metrics(tmp_path / "whole") if "loss" in line]
    assert told[-1]["attention"] < told[0]["attention"]
    assert all(line["matching"] > 0 and line["failures"] > 0 for line in told)
    assert "supervision" not in (folder / "config.json").read_text()
    for newer in sorted((tmp_path / "whole" / "state").glob("step-*"))[1:]:
        (newer / "state.json").unlink()
    (tmp_path / "cut").mkdir()
    for path in (tmp_path / "whole").iterdir():
        if path.name != "model":
            path.rename(tmp_path / "cut" / path.name)
    again = train(settings(people), tmp_path / "cut", resume=True)
    assert (again / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


def test_supervision_wants_rendered_people(people, tmp_path):
    jsonl = make_data(tmp_path, ["A", "B"])
    with pytest.raises(TrainingError, match=r"has no world\.json of `identity-reward data people`"):
        train(settings(people, **{"data.clean": jsonl}), tmp_path / "run")
    assert not (tmp_path / "run").exists()
