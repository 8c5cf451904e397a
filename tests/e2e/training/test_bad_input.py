"""What `identity-reward grpo` cannot run is one line before anything is computed."""

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from reward_model.training.errors import Interrupted
from tests.support.paths import EXAMPLES
from tests.support.ports import free_port
from trainer.cli import INTERRUPTED, grpo


@pytest.fixture(scope="module")
def url(serve):
    return serve("--model", "arcface", "--model", "tiny", "--port", "0").wait_ready().url


@pytest.fixture
def prompts(tmp_path):
    """Writes a file of prompts with (id, text, references)."""

    def write(*rows):
        path = tmp_path / "prompts.csv"
        lines = [f"{';'.join(map(str, references))},{text}" for text, references in rows]
        path.write_text("\n".join(["ref_paths,prompt", *lines]))
        return path

    return write


def run(out, *more, **fields):
    values = {"data.prompts": EXAMPLES / "prompts.jsonl", "data.evaluation_prompts": "null", **fields}
    settings = [part for key, value in values.items() for part in ("--set", f"{key.replace('__', '.')}={value}")]
    return CliRunner().invoke(grpo, ["smoke", "--out", str(out), *settings, *more])


def assert_one_line(result, out, message):
    assert result.exit_code == 2, result.output
    lines = [line for line in result.output.splitlines() if "random weights" not in line]
    assert len(lines) == 1
    assert lines[0].startswith("identity-reward grpo: ")
    assert message in lines[0]
    assert not out.exists()


ANNA = EXAMPLES / "references/anna.jpg"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rewards__url": "localhost:3000"}, "the service's URL looks like"),
        ({"rewards__sources": "[{name: a, model: compact}]"}, "the model 'compact'; the service has arcface, tiny"),
        ({"data__prompts": "none.csv"}, "none.csv: the prompts can't be read"),
        ({"policy__factory": "no_module:load"}, "no_module can't be imported"),
        ({"policy__options": "{depth: 3}"}, "unexpected keyword argument 'depth'"),
        ({"tracking__trackers": "[paper]"}, "no tracker 'paper'"),
        ({"rewards__fsp": "8"}, "rewards.fsp is no field; did you mean fps?"),
        ({"group_size": "1"}, "group_size"),
    ],
)
def test_what_cannot_run_is_one_line(url, tmp_path, fields, message):
    result = run(tmp_path / "run", **{"rewards__url": url, **fields})
    assert_one_line(result, tmp_path / "run", message)


def test_a_service_that_is_away_is_one_line(tmp_path):
    result = run(tmp_path / "run", rewards__url=f"http://127.0.0.1:{free_port()}")
    assert_one_line(result, tmp_path / "run", "no reward service at http://127.0.0.1")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([("", [ANNA])], "prompts.csv:2: the prompt is empty"),
        ([("She waves.", [ANNA] * 4)], "the policy can't use the prompt prompts-1: prompts of one batch"),
    ],
)
def test_prompts_that_cannot_be_used_are_one_line(url, tmp_path, prompts, rows, message):
    result = run(
        tmp_path / "run",
        rewards__url=url,
        rewards__check_references="false",
        data__prompts=prompts(*rows),
    )
    assert_one_line(result, tmp_path / "run", message)


def test_references_that_no_reward_can_read_are_one_line(url, tmp_path, prompts):
    wall = tmp_path / "wall.png"
    Image.fromarray(np.full((160, 120, 3), 200, np.uint8)).save(wall)
    path = prompts(("She waves.", [ANNA]), ("It stands.", [wall]))
    result = run(tmp_path / "run", rewards__url=url, data__prompts=path)
    assert_one_line(result, tmp_path / "run", "1 of 2 reference sets can't be scored by arcface: prompts-2: ")


def test_a_run_that_holds_something_else_is_one_line(url, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    result = run(out, rewards__url=url)
    assert result.exit_code == 2
    assert "exists already; --resume goes on with it" in result.output


@pytest.mark.parametrize(
    ("processes", "command"),
    [(1, "identity-reward grpo {out}/config.yaml"), (2, "accelerate launch -m trainer.cli {out}/config.yaml")],
)
def test_an_interrupted_run_prints_how_to_go_on(tmp_path, monkeypatch, processes, command):
    def interrupt(*args):
        raise Interrupted("stopped after step 3", num_processes=processes)

    monkeypatch.setattr("trainer.run.start.start", interrupt)
    result = run(out := tmp_path / "run")
    assert result.exit_code == INTERRUPTED
    assert f"to go on: {command.format(out=out)} --out {out} --resume" in result.output
