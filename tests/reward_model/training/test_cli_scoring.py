import json

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from identity_reward_client.preference import Preference
from reward_model.data.records import Votes, read_pairs, resolve, write_pairs
from reward_model.training.cli_scoring import evaluate_reward, filter_pairs
from reward_model.training.evaluation.predictions import Prediction, VideoScore, differences_of

app = typer.Typer()


app.command()(evaluate_reward)


app.command()(filter_pairs)


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


def test_video_that_cannot_be_scored_is_counted_and_has_no_score(five_pairs, clip, tmp_path):
    """`arcface` finds no face in noise."""
    folder = five_pairs.parent
    (folder / "clips/pan.mp4").write_bytes(clip())
    pair = read_pairs(five_pairs)[0].model_copy(update={"video_a": "clips/pan.mp4", "video_b": "clips/pan.mp4"})
    write_pairs(folder / "mp4.jsonl", [pair])
    result = invoke("evaluate-reward", folder / "mp4.jsonl", "--model", "arcface", "--json", tmp_path / "out.json")
    assert result.exit_code == 0, result.output
    assert "0 of 1 (1 reference_without_face)" in result.output
    report = json.loads((tmp_path / "out.json").read_text())["models"][0]
    assert (report["num_scored"], report["unscored"]) == (0, {"reference_without_face": 1})
    assert report["overall"]["accuracy_without_ties"] is None
    assert report["nll"] is None
    assert np.isnan(differences_of([Prediction("x", VideoScore(None, "code", "why"), VideoScore(1.0))])).all()


def test_evaluate_reward_writes_numbers_a_plot_and_tables(five_pairs, tmp_path):
    out = tmp_path / "new/deeper/out.json"
    result = invoke(
        "evaluate-reward",
        five_pairs,
        "--model",
        "tiny",
        "--dev",
        five_pairs,
        "--json",
        out,
        "--predictions",
        tmp_path / "p.jsonl",
    )
    assert result.exit_code == 0, result.output
    assert "wrong_person" in result.output
    assert "nuisance" in result.output
    assert "resample 3 cluster(s)" in result.output
    assert "show the same persons (person of train-0-0, person of train-0-1," in result.output
    values = json.loads(out.read_text())
    assert (values["num_pairs"], values["num_ties"], values["num_clusters"]) == (5, 1, 3)
    assert values["models"][0]["num_scored"] == 5
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
    assert len((tmp_path / "p.jsonl").read_text().splitlines()) == 5
    assert values["theta"] == 5
    invoke("evaluate-reward", five_pairs, "--model", "tiny", "--theta", 3, "--json", out)
    assert json.loads(out.read_text())["theta"] == 3


def test_unwritable_output_is_an_error_before_scoring(five_pairs, tmp_path):
    (tmp_path / "file").write_text("")
    for option in ("--json", "--plot", "--predictions"):
        result = invoke("evaluate-reward", five_pairs, "--model", "nope", option, tmp_path / "file/below/out")
        assert result.exit_code == 2
        assert f"identity-reward evaluate-reward: {tmp_path}/file" in result.output
        assert "can't be read or written" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "nope"], "no model is called 'nope'; there are"),
        (["--model", "tiny", "--model", "nope"], "no model is called 'nope'; there are"),
        (["--dev", "missing.jsonl"], "missing.jsonl: no such file"),
        (["--theta", "1"], "1.0 is no finite number above 1"),
    ],
)
def test_evaluate_reward_refuses_wrong_arguments(five_pairs, arguments, message):
    result = invoke("evaluate-reward", five_pairs, *arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_filtered_records_refer_to_the_same_media(five_pairs, tmp_path):
    pairs = read_pairs(five_pairs)
    flipped = {"A": Preference.B, "B": Preference.A}
    noisy = []
    for number, pair in enumerate(pairs):
        label = flipped.get(pair.label, pair.label) if number % 2 else pair.label
        noisy.append(
            pair.model_copy(
                update={"label": label, "votes": Votes(**{str(label): 3}), "meta": {**pair.meta, "truth": pair.label}}
            )
        )
    write_pairs(five_pairs, noisy)
    out = tmp_path / "elsewhere/filtered.jsonl"
    result = invoke("filter-pairs", five_pairs, "--model", "tiny", "--out", out, "--json", tmp_path / "counts.json")
    assert result.exit_code == 0, result.output
    filtered = read_pairs(out)
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert f"{len(filtered)} of 5 pairs kept" in result.output
    assert counts["num_kept"] == len(filtered)
    assert counts["teacher"] == "tiny"
    for pair in filtered:
        original = next(candidate for candidate in noisy if candidate.pair_id == pair.pair_id)
        assert resolve(out, pair.video_a).read_bytes() == resolve(five_pairs, original.video_a).read_bytes()
        with Image.open(resolve(out, pair.references[0].path)) as image:
            assert image.size == (56, 56)
    resolve(five_pairs, noisy[0].video_a).write_bytes(b"no clip")
    result = invoke("filter-pairs", five_pairs, "--model", "tiny", "--out", tmp_path / "less.jsonl")
    assert "1 pairs have a video that couldn't be scored" in result.output
    assert "exists already" in invoke("filter-pairs", five_pairs, "--model", "tiny", "--out", out).output
    assert (
        invoke("filter-pairs", five_pairs, "--model", "tiny", "--out", tmp_path / "x", "--rule", "none").exit_code == 2
    )
