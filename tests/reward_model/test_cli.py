import pytest
import typer
from typer.testing import CliRunner

from reward_model import cli
from reward_model.checkpoint import save, tensor_entries
from reward_model.folder import read_config
from reward_model.qwen.tiny import tiny_config, tiny_model, tiny_tokenizer
from tests.reward_model.importing.conftest import Release


@pytest.fixture
def run(tmp_path):
    release = Release(tmp_path)
    app = typer.Typer()
    app.command("import-checkpoint")(cli.import_checkpoint)
    app.command("export-checkpoint")(cli.export_checkpoint)
    checkpoint, upstream, base = release.write()
    folders = {
        "import-checkpoint": {
            "--checkpoint": checkpoint,
            "--upstream": upstream,
            "--base": base,
            "-o": tmp_path / "out",
        },
        "export-checkpoint": {"--model": tmp_path / "out", "-o": tmp_path / "exported"},
    }

    def run(verb, **changes):
        options = {**folders[verb], **{f"--{key}": value for key, value in changes.items()}}
        return CliRunner().invoke(app, [verb, *[str(part) for pair in options.items() for part in pair]])

    run.folder = tmp_path
    return run


def test_import_prints_the_model_and_export_writes_it_back(run):
    result = run("import-checkpoint", name="likeness", sampling="paper", dtype="bfloat16", positions="5")
    assert result.exit_code == 0, result.output
    config = read_config(run.folder / "out")
    assert (config.name, config.frame_sampling.name, config.position_dialect) == ("likeness", "paper", "5")
    assert f"likeness step-105, frames paper, fingerprint {config.fingerprint[:16]}" in result.stdout
    result = run("export-checkpoint")
    assert result.exit_code == 0, result.output
    assert (run.folder / "exported/checkpoint-105/model.pth").is_file()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base": "/nowhere"}, "/nowhere is no folder"),
        ({"sampling": "every-frame"}, "none of identity-grpo, paper"),
        ({"positions": "4.52"}, "none of 4.51, 5"),
        ({"dtype": "float8"}, "none of float32, bfloat16"),
        ({"checkpoint": "/nowhere"}, "/nowhere is no folder"),
        ({"upstream": "/nowhere"}, "no prompt_template.py"),
    ],
)
def test_import_errors_are_readable_and_leave_no_files(run, changes, message):
    result = run("import-checkpoint", **changes)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.output
    assert not (run.folder / "out").exists()


def test_model_with_a_template_of_its_own_cannot_be_exported(run):
    model = tiny_model(tiny_config(tiny_tokenizer()))
    save(run.folder / "ours", model.config, tiny_tokenizer().to_json(), tensor_entries(model.state_dict()))
    result = run("export-checkpoint", model=run.folder / "ours")
    assert result.exit_code == 2
    assert "'video-first' isn't the released code's" in result.stderr
