"""Scoring pairs with real scorers, the file that keeps it, and what is made of it."""

import json
from dataclasses import replace

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from identity_reward_client.preference import Preference
from reward_model.data.records import PreferencePair, Reference, Votes, read_pairs, resolve, write_pairs
from reward_model.registry import load_scorer
from reward_model.training.cli_scoring import evaluate_reward, filter_pairs
from reward_model.training.errors import TrainingError
from reward_model.training.evaluation.evaluation import Evaluation
from reward_model.training.evaluation.predictions import Prediction, Scored, differences_of, predict
from reward_model.training.evaluation.statistics import Bootstrap
from reward_model.training.preferences.teacher import agreements
from reward_model.training.preferences.teacher import filter_pairs as filtered
from tests.reward_model.training.pairs import LABELS, make_data

app = typer.Typer()
app.command()(evaluate_reward)
app.command()(filter_pairs)


def invoke(*arguments):
    return CliRunner().invoke(app, [str(one) for one in arguments], env={"COLUMNS": "200"})


class Counting:
    """A scorer that counts what it is asked for."""

    def __init__(self, scorer):
        self._scorer, self.info, self.count = scorer, scorer.info, 0
        self.preprocess, self.postprocess = scorer.preprocess, scorer.postprocess

    def forward(self, batch):
        self.count += len(batch)
        return self._scorer.forward(batch)


@pytest.fixture(scope="module")
def tiny():
    return load_scorer("tiny")


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data", ["A", "B", "tie", "A", "B"])


def shared_video(data):
    """The pairs and one more, which compares two videos of the first pair's references that were in it."""
    pairs = read_pairs(data)
    first = pairs[0]
    update = {
        "pair_id": "more",
        "video_a": first.video_b,
        "video_b": first.video_a,
        "label": Preference.B,
        "votes": LABELS["B"],
    }
    write_pairs(data, [*pairs, first.model_copy(update=update)])
    return read_pairs(data)


def test_each_distinct_video_is_scored_once(tiny, data):
    pairs = shared_video(data)
    counting = Counting(tiny)
    found = predict(counting, data, pairs, batch=3)
    assert counting.count == 10
    assert found[-1].difference == -found[0].difference
    assert [one.pair_id for one in found] == [pair.pair_id for pair in pairs]


def test_a_file_of_predictions_goes_on_where_it_was_cut(tiny, data, tmp_path):
    pairs, file = read_pairs(data), tmp_path / "predictions.jsonl"
    whole = predict(tiny, data, pairs, file)
    lines = file.read_text().splitlines(keepends=True)
    assert len(lines) == 5
    file.write_text("".join(lines[:2]) + lines[2][:30])
    counting = Counting(tiny)
    assert predict(counting, data, pairs, file, batch=2) == whole
    assert counting.count == 6
    assert file.read_text() == "".join(lines)
    counting = Counting(tiny)
    assert predict(counting, data, pairs, file) == whole
    assert counting.count == 0
    # rewards in bfloat16 are others
    counting = Counting(tiny)
    counting.info = replace(tiny.info, dtype="bfloat16")
    predict(counting, data, pairs, file)
    assert counting.count == 10
    # another video under a known name of a pair is another thing
    swapped = [pair.model_copy(update={"video_a": pair.video_b, "video_b": pair.video_a}) for pair in pairs]
    counting = Counting(tiny)
    predict(counting, data, swapped, file)
    assert counting.count == 10
    file.write_text("{}\n")
    with pytest.raises(TrainingError, match="is no file of predictions"):
        predict(tiny, data, pairs, file)


def test_files_of_the_same_name_with_other_content_are_scored(tiny, data, tmp_path):
    file = tmp_path / "predictions.jsonl"
    predict(tiny, data, read_pairs(data), file)
    other = make_data(tmp_path / "other", ["A", "B", "tie", "A", "B"])
    pairs = read_pairs(other)
    assert predict(counting := Counting(tiny), other, pairs, file) == predict(tiny, data, read_pairs(data))
    assert counting.count == 0
    for path in (pairs[0].references[0].path, pairs[1].video_b):
        resolve(other, path).write_bytes(resolve(other, pairs[2].references[0].path).read_bytes())
    changed = predict(counting := Counting(tiny), other, pairs, file)
    # both videos beside the changed reference, and what of the changed video can be: it is a picture now
    assert counting.count == 3
    assert changed[1].b.reward is None
    assert changed[0] != predict(tiny, data, read_pairs(data))[0]


def test_what_cannot_be_scored_is_counted_and_is_no_number(data, clip, tmp_path):
    """`arcface` finds no face in noise."""
    folder = data.parent
    (folder / "clips/pan.mp4").write_bytes(clip())
    pair = read_pairs(data)[0].model_copy(update={"video_a": "clips/pan.mp4", "video_b": "clips/pan.mp4"})
    write_pairs(folder / "mp4.jsonl", [pair])
    result = invoke("evaluate-reward", folder / "mp4.jsonl", "--model", "arcface", "--json", tmp_path / "out.json")
    assert result.exit_code == 0, result.output
    assert "0 of 1 (1 reference_without_face)" in result.output
    report = json.loads((tmp_path / "out.json").read_text())["models"][0]
    assert (report["num_scored"], report["unscored"]) == (0, {"reference_without_face": 1})
    assert report["overall"]["accuracy_without_ties"] is None
    assert report["nll"] is None
    assert np.isnan(differences_of([Prediction("x", Scored(None, "code", "why"), Scored(1.0))])).all()


def made_pairs(labels, modes, clusters):
    reference = (Reference(path="r.png", person="p"),)
    return [
        PreferencePair(
            pair_id=str(i), prompt="", references=reference, video_a="a", video_b="b", label=label,
            votes=LABELS[label], source="construction", split="test", meta={"mode": mode, "cluster": cluster},
        )
        for i, (label, mode, cluster) in enumerate(zip(labels, modes, clusters, strict=True))
    ]  # fmt: skip


def predictions_of(differences):
    return [
        Prediction(str(i), Scored(None, "invalid_media", "") if d is None else Scored(d), Scored(0.0))
        for i, d in enumerate(differences)
    ]


def test_an_evaluation_by_hand(tiny):
    pairs = made_pairs(["A", "B", "A", "tie", "tie"], ["swap", "swap", "blur", "nuisance", "nuisance"], "xxyyz")
    evaluation = Evaluation(pairs, num_resamples=300)
    first = evaluation.add(tiny.info, predictions_of([3.0, -2.0, -1.0, 0.5, 4.0]))
    second = evaluation.add(tiny.info, predictions_of([3.0, 2.0, 1.0, None, 0.1]), (pairs, predictions_of([1.2] * 5)))
    assert first.overall["accuracy_without_ties"].mean == pytest.approx(2 / 3)
    assert first.overall["accuracy_with_ties"].mean == pytest.approx(3 / 5)
    assert first.modes["swap"]["accuracy_without_ties"].mean == 1
    assert first.modes["blur"]["accuracy_with_ties"].mean == 0
    assert first.modes["nuisance"]["accuracy_without_ties"] is None
    assert first.modes["nuisance"]["accuracy_with_ties"].mean == 0.5
    assert (first.epsilon, "accuracy_fitted_ties" in first.overall) == (None, False)
    assert (second.num_scored, second.unscored) == (4, {"invalid_media": 1})
    # on its development pairs 1.2 is right for two A, and as a tie for two as well: never a tie is the smaller width
    assert second.epsilon == -1
    compared = evaluation.comparisons()[0]
    assert compared.num_pairs == 4
    assert compared.differences["accuracy_without_ties"].mean == pytest.approx(0)
    # without the pair that only the first scored: right are 0, 1 against 0, 4
    assert compared.differences["accuracy_with_ties"].mean == pytest.approx(0)
    assert first.label == "tiny"
    assert second.label.startswith("tiny ")


def test_a_difference_is_judged_on_common_resamples(tiny):
    draw = np.random.default_rng(0)
    labels = draw.choice(["A", "B"], 200)
    clusters = [str(i) for i in draw.integers(0, 20, 200)]
    pairs = made_pairs(labels, ["m"] * 200, clusters)
    sign = np.where(labels == "A", 1.0, -1.0)
    good, worse = sign * np.where(draw.random(200) < 0.9, 3, -3), sign * np.where(draw.random(200) < 0.6, 3, -3)
    evaluation = Evaluation(pairs, seed=4)
    evaluation.add(tiny.info, predictions_of(good.tolist()))
    evaluation.add(tiny.info, predictions_of(worse.tolist()))
    interval = evaluation.comparisons()[0].differences["accuracy_without_ties"]
    gain = (good * sign > 0).astype(float) - (worse * sign > 0)
    assert interval == Bootstrap(clusters, 4).mean(gain)
    assert interval.low > 0


def test_modes_in_which_one_is_ahead_or_behind(tiny):
    modes = ["swap"] * 40 + ["blur"] * 40 + ["nuisance"] * 40
    labels = ["A"] * 80 + ["tie"] * 40
    clusters = [str(i % 10) for i in range(120)]
    evaluation = Evaluation(made_pairs(labels, modes, clusters))
    right, wrong, equal, half = [3.0] * 40, [-3.0] * 40, [0.0] * 40, [3.0, -3.0, 3.0, -3.0] * 10
    evaluation.add(tiny.info, predictions_of(right + half + wrong))
    evaluation.add(tiny.info, predictions_of(wrong + half + equal))
    compared = evaluation.comparisons()[0]
    assert compared.apart == {"ahead": ("swap",), "behind": ("nuisance",)}
    assert compared.modes["blur"]["accuracy_without_ties"].mean == 0


def test_the_command_writes_numbers_a_picture_and_tables(data, tmp_path):
    out = tmp_path / "new/deeper/out.json"
    result = invoke(
        "evaluate-reward", data, "--model", "tiny", "--dev", data, "--json", out, "--predictions", tmp_path / "p.jsonl"
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
    invoke("evaluate-reward", data, "--model", "tiny", "--theta", 3, "--json", out)
    assert json.loads(out.read_text())["theta"] == 3


def test_what_cannot_be_written_is_told_before_anything_is_scored(data, tmp_path):
    (tmp_path / "file").write_text("")
    for option in ("--json", "--plot", "--predictions"):
        result = invoke("evaluate-reward", data, "--model", "nope", option, tmp_path / "file/below/out")
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
def test_what_cannot_be_evaluated(data, arguments, message):
    result = invoke("evaluate-reward", data, *arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_agreement():
    pairs = made_pairs(["A", "A", "B", "tie", "tie", "A"], ["m"] * 6, "cccccc")
    d = np.array([3.0, 0.5, 3.0, 1.0, -2.0, np.nan])
    assert agreements(pairs, d).tolist() == [True, True, False, True, False, False]
    assert agreements(pairs, d, "verdict").tolist() == [True, False, False, True, False, False]


def test_the_filter_says_how_right_the_labels_are():
    pairs = made_pairs(["A", "A", "B", "tie"], ["m"] * 4, "cccc")
    truths = ["A", "B", "B", "tie"]
    pairs = [p.model_copy(update={"meta": {"truth": t}}) for p, t in zip(pairs, truths, strict=True)]
    kept, report = filtered(pairs, predictions_of([2.0, -2.0, None, 0.0]))
    assert [pair.pair_id for pair in kept] == ["0", "3"]
    assert (report.num_pairs, report.num_kept, report.num_unscored, report.kept_share) == (4, 2, 1, 0.5)
    assert (report.precision_before, report.precision_after) == (0.75, 1.0)
    assert report.recall == pytest.approx(2 / 3)
    assert report.by_label == {"A": (2, 1), "B": (1, 0), "tie": (1, 1)}
    with pytest.raises(TrainingError, match="agrees with none of 4 labels"):
        filtered(pairs, predictions_of([-2.0, -2.0, None, 4.0]))


def test_a_filtered_file_leads_to_the_same_files(data, tmp_path):
    pairs = read_pairs(data)
    flipped = {"A": Preference.B, "B": Preference.A}
    noisy = []
    for number, pair in enumerate(pairs):
        label = flipped.get(pair.label, pair.label) if number % 2 else pair.label
        noisy.append(
            pair.model_copy(
                update={"label": label, "votes": Votes(**{str(label): 3}), "meta": {**pair.meta, "truth": pair.label}}
            )
        )
    write_pairs(data, noisy)
    out = tmp_path / "elsewhere/filtered.jsonl"
    result = invoke("filter-pairs", data, "--model", "tiny", "--out", out, "--json", tmp_path / "counts.json")
    assert result.exit_code == 0, result.output
    kept = read_pairs(out)
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert f"{len(kept)} of 5 pairs kept" in result.output
    assert counts["num_kept"] == len(kept)
    assert counts["teacher"] == "tiny"
    for pair in kept:
        original = next(one for one in noisy if one.pair_id == pair.pair_id)
        assert resolve(out, pair.video_a).read_bytes() == resolve(data, original.video_a).read_bytes()
        with Image.open(resolve(out, pair.references[0].path)) as picture:
            assert picture.size == (56, 56)
    resolve(data, noisy[0].video_a).write_bytes(b"no clip")
    result = invoke("filter-pairs", data, "--model", "tiny", "--out", tmp_path / "less.jsonl")
    assert "1 pairs have a video that couldn't be scored" in result.output
    assert "exists already" in invoke("filter-pairs", data, "--model", "tiny", "--out", out).output
    assert invoke("filter-pairs", data, "--model", "tiny", "--out", tmp_path / "x", "--rule", "none").exit_code == 2
