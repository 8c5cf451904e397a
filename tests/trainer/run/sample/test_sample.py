"""`identity-reward grpo sample` with the tiny policy and a real service."""

import json
import shutil

import av
import numpy as np
import pytest

from tests.support.paths import EXAMPLES
from tests.support.ports import free_port
from trainer.prompts import read_prompts
from trainer.run.sample.video_files import read_mp4

from .conftest import write_adapter

PROMPTS = read_prompts(EXAMPLES / "prompts.jsonl")


def files(out):
    return sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())


def test_videos_of_both_sides_are_compared(url, sample, tmp_path):
    result = sample(out := tmp_path / "out", "--url", url, "--videos", 2)
    assert result.exit_code == 0, result.output
    assert f"{2 * len(PROMPTS)} pairs of videos" in result.output
    content = json.loads((out / "comparison.json").read_text())
    comparison, rewards = content["comparisons"]["identity"], content["rewards"]["identity"]
    assert len(rewards["before"]) == len(rewards["after"]) == 2 * len(PROMPTS)
    assert comparison["count"] == 2 * len(PROMPTS)
    assert comparison["before"] == pytest.approx(np.mean(rewards["before"]))
    assert comparison["difference"] == pytest.approx(np.mean(rewards["after"]) - np.mean(rewards["before"]))
    assert comparison["low"] <= comparison["difference"] <= comparison["high"]
    assert f"identity: {comparison['before']:.4f} -> {comparison['after']:.4f}" in result.output
    assert content["models"]["identity"]["name"] == "tiny"
    assert content["errors"] == []
    assert {"comparison.json", "contact_sheet.png", "sample.json"} < {*files(out)}
    with av.open(str(out / f"before/0000-{PROMPTS[0].key}-0.mp4")) as container:
        assert container.streams.video[0].average_rate == 8


def test_without_a_url_there_are_videos_and_no_scores(sample, tmp_path):
    result = sample(out := tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert len(files(out)) == 2 * len(PROMPTS) + 2
    clips = [read_mp4(out / side / f"0000-{PROMPTS[0].key}-0.mp4") for side in ("before", "after")]
    assert not np.array_equal(*clips)


def test_both_sides_have_the_same_noise(sample, tmp_path):
    """An adapter whose second matrices are 0 changes nothing."""
    from safetensors.torch import load_file, save_file

    folder = write_adapter(tmp_path / "model")
    weights = load_file(path := folder / "adapter_model.safetensors")
    save_file({name: w * 0 if "lora_B" in name else w for name, w in weights.items()}, path)
    sample(out := tmp_path / "out", adapter=folder)
    paths = list((out / "before").iterdir())
    assert len(paths) == len(PROMPTS)
    for path in paths:
        difference = read_mp4(path).astype(int) - read_mp4(out / "after" / path.name)
        assert np.abs(difference).mean() < 1


def test_resumed_videos_are_those_of_an_undisturbed_command(url, sample, tmp_path):
    sample(whole := tmp_path / "whole")
    shutil.copytree(whole, out := tmp_path / "out")
    kept, removed = (f"after/{i:04d}-{PROMPTS[i].key}-0.mp4" for i in (0, 1))
    (out / removed).unlink()
    before = (out / kept).stat().st_mtime_ns
    assert sample(out).exit_code == 2
    result = sample(out, "--resume", "--url", url)
    assert result.exit_code == 0, result.output
    assert (out / kept).stat().st_mtime_ns == before
    # not compared byte by byte: in two runs a file differed in a few bytes, for a reason that was not found
    difference = read_mp4(out / removed).astype(int) - read_mp4(whole / removed)
    assert np.abs(difference).mean() < 1
    assert (out / "comparison.json").is_file()


def test_a_folder_of_other_videos_is_not_continued(sample, tmp_path):
    sample(out := tmp_path / "out")
    result = sample(out, "--resume", "--set", "seed=7")
    assert result.exit_code == 2
    assert "holds other videos: it differs in config" in result.output
    (tmp_path / "other").mkdir()
    assert "no folder of this command" in sample(tmp_path / "other", "--resume").output


def test_a_failed_score_is_missing(url, sample, tmp_path):
    """A file of a finished folder that is no video any more."""
    sample(out := tmp_path / "out")
    (out / f"after/0001-{PROMPTS[1].key}-0.mp4").write_bytes(b"no video")
    more = ["--resume", "--url", url]
    result = sample(out, *more, "--set", "evaluation.sheet_prompts=1")
    assert result.exit_code == 0, result.output
    content = json.loads((out / "comparison.json").read_text())
    assert content["rewards"]["identity"]["after"][1] is None
    assert content["comparisons"]["identity"]["count"] == len(PROMPTS) - 1
    assert [error["item"] for error in content["errors"]] == [[f"after {PROMPTS[1].key}", 0]]
    assert "1 rewards are missing" in result.output
    assert "delete it, and --resume samples it again" in sample(out, *more).output


@pytest.mark.parametrize("case", ["service", "prompts", "image", "rank", "alpha", "model", "no adapter", "exists"])
def test_what_cannot_work_is_one_line_and_leaves_no_folder(case, sample, tmp_path, adapter):
    out, more, options = tmp_path / "out", [], {}
    if case == "service":
        more, expected = ["--url", f"http://127.0.0.1:{free_port()}"], "no reward service at"
    elif case == "prompts":
        options["prompts"], expected = tmp_path / "none.csv", "none.csv"
    elif case == "image":
        (tmp_path / "a.png").write_bytes(b"no image")
        (tmp_path / "p.csv").write_text("ref_paths,prompt\na.png,A person.\n")
        options["prompts"], expected = tmp_path / "p.csv", "a.png can't be read"
    elif case == "rank":
        options["adapter"], expected = write_adapter(tmp_path / "a", rank=8), "of rank 8, and adapter.rank is 4"
    elif case == "alpha":
        more, expected = ["--set", "adapter.alpha=8"], "of alpha 4, and adapter.alpha is 8"
    elif case == "model":
        options["adapter"], expected = write_adapter(tmp_path / "a", width=32), "other layers or another rank"
    elif case == "no adapter":
        options["adapter"], expected = tmp_path, "has no adapter_model.safetensors"
    else:
        out.mkdir()
        expected = "exists; give another folder"
    result = sample(out, *more, **options)
    assert result.exit_code == 2
    assert expected in result.output
    assert len(result.output.splitlines()) == 1
    assert case == "exists" or not out.exists()
