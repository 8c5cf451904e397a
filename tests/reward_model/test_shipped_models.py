"""The models that ship, on committed pairs of people whom they never saw: as good as their cards say they are."""

import json
from pathlib import Path

import pytest

from reward_model.data.records import read_pairs
from reward_model.folder import WEIGHTS
from reward_model.registry import load_scorer
from reward_model.training.evaluation.evaluation import Evaluation
from reward_model.training.evaluation.predictions import predict

ROOT = Path(__file__).resolve().parents[2]
HELD_OUT = ROOT / "tests/held_out/test.jsonl"
CARDS = {"face-tracks": "face_tracks_rendered", "compact": "compact_rendered"}
LARGEST_BYTES = {"face_tracks": 1 << 20, "compact": 15_000_000}
KINDS = ("accuracy_without_ties", "accuracy_with_ties")


def evaluated(card: str) -> dict:
    return json.loads((ROOT / f"docs/evaluations/{card}.json").read_text())


@pytest.mark.parametrize("name", CARDS)
def test_accuracies_are_no_lower_than_the_cards_by_more_than_their_interval(name):
    pairs = read_pairs(HELD_OUT)
    scorer = load_scorer(name)
    promised = next(model for model in evaluated(CARDS[name])["models"] if model["name"] == name)
    assert promised["fingerprint"] == scorer.info.fingerprint, "the card was written for other weights or other code"
    predictions = predict(scorer, HELD_OUT, pairs)
    assert all(one.difference is not None for one in predictions)
    overall = Evaluation(pairs).add(scorer.info, predictions).overall
    for kind in KINDS:
        here, there = overall[kind], promised["overall"][kind]
        assert here.mean >= there["mean"] - (here.mean - here.low), f"{kind} {here}, the card says {there}"


@pytest.mark.parametrize("card", ["face_tracks_rendered", "face_tracks_photos"])
def test_face_tracks_is_ahead_of_every_arcface_on_its_cards(card):
    gains = [one for one in evaluated(card)["comparisons"] if one["first"] == "face-tracks"]
    assert {one["second"] for one in gains} == {"arcface", "arcface-minimum", "arcface-best-frame"}
    assert all(one["differences"]["accuracy_with_ties"]["low"] > 0 for one in gains)


@pytest.mark.parametrize("folder", LARGEST_BYTES)
def test_weights_are_small(folder):
    assert (ROOT / "reward_model/presets" / folder / WEIGHTS).stat().st_size <= LARGEST_BYTES[folder]
