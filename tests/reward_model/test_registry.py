"""The registry, and the shipped models on committed pairs of people that they were not trained on."""

import json
from pathlib import Path

import pytest

from reward_model.data.records import read_pairs
from reward_model.folder import WEIGHTS, CheckpointError
from reward_model.registry import DEFAULT_SCORER, SCORERS, load_scorer, require_registered
from reward_model.training.evaluation.evaluation import Evaluation
from reward_model.training.evaluation.predictions import predict


def test_error_of_an_unknown_name_lists_the_registered_names():
    for call in (require_registered, load_scorer):
        with pytest.raises(KeyError, match=r"no model is called 'face-trakcs'; there are arcface, .*, tiny"):
            call("face-trakcs")


def test_names_folders_and_onnx_files_are_accepted(tmp_path):
    for name in (*SCORERS, str(tmp_path), "faces.onnx"):
        require_registered(name)
    assert DEFAULT_SCORER in SCORERS


def test_a_folder_without_a_model_is_a_checkpoint_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"lacks config.json, model.safetensors, tokenizer.json"):
        load_scorer(str(tmp_path))
    with pytest.raises(CheckpointError, match="dtype is float32 or bfloat16, got 'int8'"):
        load_scorer(str(tmp_path), dtype="int8")


ROOT = Path(__file__).resolve().parents[2]


HELD_OUT = ROOT / "tests/held_out/test.jsonl"


CARDS = {"face-tracks": "face_tracks_rendered", "compact": "compact_rendered"}


LARGEST_BYTES = {"face_tracks": 1 << 20, "compact": 15_000_000}


KINDS = ("accuracy_without_ties", "accuracy_with_ties")


def evaluated(card: str) -> dict:
    return json.loads((ROOT / f"docs/evaluations/{card}.json").read_text())


@pytest.mark.parametrize("name", CARDS)
def test_accuracy_on_held_out_people_is_within_the_interval_of_the_model_card(name):
    pairs = read_pairs(HELD_OUT)
    scorer = load_scorer(name)
    stated = next(model for model in evaluated(CARDS[name])["models"] if model["name"] == name)
    assert stated["fingerprint"] == scorer.info.fingerprint, "the card was written for other weights or other code"
    predictions = predict(scorer, HELD_OUT, pairs)
    assert all(prediction.difference is not None for prediction in predictions)
    overall = Evaluation(pairs).add(scorer.info, predictions).overall
    for kind in KINDS:
        measured, on_card = overall[kind], stated["overall"][kind]
        message = f"{kind} {measured}, the card says {on_card}"
        assert measured.mean >= on_card["mean"] - (measured.mean - measured.low), message


@pytest.mark.parametrize("card", ["face_tracks_rendered", "face_tracks_photos"])
def test_face_tracks_beats_every_arcface_scorer_on_its_model_cards(card):
    comparisons = [row for row in evaluated(card)["comparisons"] if row["first"] == "face-tracks"]
    assert {row["second"] for row in comparisons} == {"arcface", "arcface-minimum", "arcface-best-frame"}
    assert all(row["differences"]["accuracy_with_ties"]["low"] > 0 for row in comparisons)


@pytest.mark.parametrize("folder", LARGEST_BYTES)
def test_shipped_weights_are_small(folder):
    assert (ROOT / "reward_model/presets" / folder / WEIGHTS).stat().st_size <= LARGEST_BYTES[folder]
