"""Imports of one checkpoint in every layout, which all give the same scores, and of defective checkpoints."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from reward_model.config import IDENTITY_GRPO
from reward_model.folder import CheckpointError, read_config
from reward_model.importing.exporter import export_checkpoint
from reward_model.importing.importer import import_checkpoint
from reward_model.qwen.loading import load_folder
from reward_model.registry import load_scorer

LAYOUTS = [
    (layout, names) for layout in ("lora", "wrapped", "folded", "safetensors", "sharded") for names in ("4.51", "5")
]


def score(folder, sample, **options):
    scorer = load_folder(folder, **options)
    return scorer.postprocess(scorer.forward([scorer.preprocess(sample)])[0]).reward


def run(release, layout="lora", names="4.51", out="out", write=None, **options):
    checkpoint, upstream, base = release.write(layout, names, **(write or {}))
    folder = release.folder / out
    import_checkpoint(checkpoint, upstream, folder, base, **options)
    return folder


@pytest.fixture(scope="module")
def expected_score(release_of, tmp_path_factory):
    """The score of a sample with weights that are merged here and loaded into the model directly."""
    release = release_of(tmp_path_factory.mktemp("expected"))
    scorer = load_folder(run(release))
    scorer.model.load_state_dict(release.merged())
    return lambda sample: scorer.postprocess(scorer.forward([scorer.preprocess(sample)])[0]).reward


@pytest.mark.parametrize(("layout", "names"), LAYOUTS)
def test_every_layout_gives_the_same_weights_and_score(
    release_of, tmp_path, noise_sample, expected_score, layout, names
):
    release = release_of(tmp_path)
    folder = run(release, layout, names)
    state = load_file(folder / "model.safetensors")
    expected = release.merged()
    assert state.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(state[name], tensor, rtol=0, atol=1e-6)
    small = noise_sample(references=((84, 84),), size=(96, 128))
    assert score(folder, small) == pytest.approx(expected_score(small), abs=1e-5)


def test_config_contains_the_settings_of_the_checkpoint(release):
    config = read_config(run(release))
    assert config.version == "step-105"
    assert config.frame_sampling == IDENTITY_GRPO
    assert config.position_dialect == "4.51"
    assert not config.template.vision_ids
    assert not config.template.prompt_used
    assert config.outputs == ("SA",)
    assert config.backbone["text_config"]["vocab_size"] == release.rows
    scorer = load_scorer(str(release.folder / "out"))
    assert scorer.info.fingerprint == config.fingerprint
    assert scorer.info.domain == "photographs"
    assert scorer.info.meaningful
    assert not scorer.info.prompt_used


def test_template_is_copied_literally_and_its_file_is_not_run(release):
    pieces = read_config(run(release)).template.pieces
    video_index = [piece.kind for piece in pieces].index("video")
    assert pieces[video_index + 1].value == (
        "\nDo the faces of the video look like those of the pictures? Bäume – “quoted”   spaces.\n\nLikeness: "
    )
    assert (pieces[video_index + 2].kind, pieces[video_index + 2].value) == ("reward", "<|SA_reward|>")
    assert pieces[video_index + 3].value == "\nEND\n"


def test_default_checkpoint_is_the_highest_number(release):
    release.write(step=9)
    (release.folder / "checkpoint/checkpoint-9/adapter_model.safetensors").unlink()
    assert read_config(run(release)).version == "step-105"


def test_a_step_can_be_chosen(release):
    release.write(step=9)
    assert read_config(run(release, step=9)).version == "step-9"
    with pytest.raises(CheckpointError, match="no checkpoint-7; it has 9, 105"):
        run(release, out="other", step=7)


def test_numbered_checkpoint_folder_can_be_imported_directly(release):
    checkpoint, upstream, base = release.write()
    import_checkpoint(checkpoint / "checkpoint-105", upstream, release.folder / "out", base)
    assert read_config(release.folder / "out").version == "step-105"


def test_three_outputs_are_named_and_normalised(release_of, tmp_path, noise_sample):
    release = release_of(tmp_path, outputs=3)
    statistics = {
        f"{name}_{kind}": value for name in ("VQ", "MQ", "TA") for kind, value in (("mean", 1.0), ("std", 2.0))
    }
    folder = run(release, write={"settings": {"inference_config": statistics}})
    scorer = load_folder(folder)
    assert scorer.info.prompt_used
    raw = scorer.forward([scorer.preprocess(noise_sample(prompt="a dance"))])[0]
    result = scorer.postprocess(raw)
    assert result.details == {
        name: pytest.approx((value - 1) / 2) for name, value in zip(("VQ", "MQ", "TA"), raw, strict=True)
    }
    assert result.reward == pytest.approx(sum(result.details.values()))


def test_dimension_texts_are_filled_in(release):
    settings = {"data_config": {"prompt_template_type": "simple"}}
    pieces = read_config(run(release, write={"settings": settings})).template.pieces
    text = "".join(piece.value if piece.kind != "prompt" else "{prompt}" for piece in pieces)
    assert 'Rate the likeness, that is how alike the faces are, of a video of "{prompt}": <|SA_reward|>' in text


def test_bfloat16_base_stays_exact_by_default(release, noise_sample):
    folder = run(release, write={"dtype": torch.bfloat16})
    dtypes = {name: tensor.dtype for name, tensor in load_file(folder / "model.safetensors").items()}
    assert dtypes["body.language_model.layers.0.self_attn.q_proj.weight"] == torch.float32
    assert dtypes["body.language_model.layers.0.input_layernorm.weight"] == torch.bfloat16
    small = run(release, out="small", dtype=torch.bfloat16)
    dtypes = {name: tensor.dtype for name, tensor in load_file(small / "model.safetensors").items()}
    assert {dtypes["norm.weight"], dtypes["head.weight"]} == {torch.float32}
    assert dtypes["body.language_model.layers.0.self_attn.q_proj.weight"] == torch.bfloat16
    sample = noise_sample()
    exact = score(folder, sample)
    assert 0 < abs(score(folder, sample, dtype="bfloat16") - exact) < 0.2
    assert abs(score(small, sample) - exact) < 0.2


def test_export_and_import_keep_the_fingerprint_and_the_score(release, noise_sample):
    folder = run(release)
    exported = export_checkpoint(folder, release.folder / "exported")
    state = torch.load(exported / "checkpoint-105/model.pth", weights_only=True)
    assert {"rm_head.weight", "lm_head.weight", "model.norm.weight", "visual.patch_embed.proj.weight"} <= state.keys()
    assert "model.layers.1.mlp.down_proj.weight" in state
    imported = release.folder / "again"
    import_checkpoint(exported, release.folder / "upstream", imported)
    assert read_config(imported).fingerprint == read_config(folder).fingerprint
    sample = noise_sample()
    assert score(imported, sample) == score(folder, sample)


def drop(path, key):
    state = load_file(path)
    rest = {name: tensor for name, tensor in state.items() if name != key}
    assert len(rest) < len(state)
    save_file(rest, path)


def add(path, key):
    save_file({**load_file(path), key: torch.zeros(2)}, path)


STEM = "base_model.model.model.layers.0.mlp.up_proj"
ADAPTER = "checkpoint/checkpoint-105/adapter_model.safetensors"
REST = "checkpoint/checkpoint-105/non_lora_state_dict.pth"


def cut(path, keep=0.7):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])


def edit(path, part, **values):
    settings = json.loads(path.read_text())
    settings[part].update(values)
    path.write_text(json.dumps(settings))


def setting(part, **values):
    return lambda folder: edit(folder / SETTINGS, part, **values)


SETTINGS = "checkpoint/model_config.json"
PROMPTS = "upstream/vace_reward/prompt_template.py"
BASE = "base/model.safetensors"
MAGNITUDE = "base_model.model.model.layers.0.mlp.magnitude"
DEFECTS = {
    "half-a-lora-pair": (lambda f: drop(f / ADAPTER, STEM + ".lora_B.weight"), "other half: .*up_proj"),
    "a-key-of-no-layer": (lambda f: add(f / ADAPTER, MAGNITUDE), "unexpected .*magnitude"),
    "a-key-of-no-dialect": (
        lambda f: add(f / ADAPTER, "ema.weight"),
        "1 keys of no Qwen2.5-VL reward model: ema.weight",
    ),
    "a-base-tensor-missing": (lambda f: drop(f / BASE, "model.norm.weight"), "missing norm.weight"),
    "an-extra-base-layer": (lambda f: add(f / BASE, "model.layers.7.mlp.up_proj.weight"), "unexpected .*layers.7"),
    "adapter-cut": (lambda f: cut(f / ADAPTER), "no whole safetensors file"),
    "pth-cut": (lambda f: cut(f / REST), "can't be read|cut short"),
    "base-cut": (lambda f: cut(f / BASE), "no whole safetensors file"),
    "rest-missing": (lambda f: (f / REST).unlink(), "without non_lora_state_dict.pth"),
    "other-rank": (setting("peft_lora_config", lora_r=8), "the settings state rank 8"),
    "pooled-otherwise": (setting("model_config", use_special_tokens=False, reward_token="last"), "pooled by 'last'"),
    "qwen2-vl": (setting("model_config", model_name_or_path="Qwen/Qwen2-VL-2B-Instruct"), "Qwen2-VL reward model"),
    "unknown-template": (
        setting("data_config", prompt_template_type="poem"),
        "no template 'poem'; it has detailed, det",
    ),
    "template-without-token": (setting("data_config", prompt_template_type="detailed"), "no reward token"),
    "other-output-count": (setting("model_config", output_dim=3), "output_dim is 3 .* 1 reward"),
    "no-settings": (lambda f: (f / SETTINGS).unlink(), "model_config.json isn't there"),
    "settings-not-json": (lambda f: (f / SETTINGS).write_text("{"), "isn't JSON"),
    "no-upstream": (lambda f: (f / PROMPTS).unlink(), "no prompt_template.py"),
    "upstream-not-python": (lambda f: (f / PROMPTS).write_text("def ("), "can't be parsed"),
    "no-tokenizer": (lambda f: (f / "base/tokenizer.json").unlink(), "holds no tokenizer"),
    "pickled-objects": (lambda f: torch.save({"a": object()}, f / REST), "not unpickled"),
    "no-tensors": (lambda f: torch.save({"a": 1}, f / REST), "flat table of tensors"),
}


@pytest.mark.parametrize("defect", sorted(DEFECTS))
def test_defect_is_a_one_line_error_and_leaves_no_files(release, defect):
    checkpoint, upstream, base = release.write()
    damage, message = DEFECTS[defect]
    damage(release.folder)
    before = sorted(path.name for path in release.folder.iterdir())
    with pytest.raises(CheckpointError, match=message) as raised:
        import_checkpoint(checkpoint, upstream, release.folder / "out", base)
    assert "\n" not in str(raised.value)
    assert sorted(path.name for path in release.folder.iterdir()) == before


def test_lora_without_a_base_is_refused(release):
    checkpoint, upstream, _ = release.write()
    with pytest.raises(CheckpointError, match="--base"):
        import_checkpoint(checkpoint, upstream, release.folder / "out")


def test_missing_reward_head_or_embedding_is_named(release):
    for key, message in (("rm_head.weight", "no reward head"), ("model.embed_tokens.weight", "no embeddings")):
        checkpoint, upstream, base = release.write()
        path = release.folder / REST
        state = torch.load(path, weights_only=True)
        del state["base_model.model." + key]
        torch.save(state, path)
        with pytest.raises(CheckpointError, match=message):
            import_checkpoint(checkpoint, upstream, release.folder / "out", base)


def test_existing_folder_is_not_overwritten(release):
    folder = run(release)
    with pytest.raises(CheckpointError, match="exists already"):
        run(release)
    assert read_config(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "tokenizer.json").unlink(), "lacks tokenizer.json"),
        (lambda f: (f / "config.json").write_text("{}"), "isn't a reward model's"),
        (lambda f: cut(f / "model.safetensors"), "damaged or was replaced"),
        (lambda f: add(f / "model.safetensors", "other"), "damaged or was replaced"),
    ],
)
def test_damaged_folder_is_a_one_line_error(release, damage, message):
    folder = run(release)
    damage(folder)
    with pytest.raises(CheckpointError, match=message):
        load_folder(folder)


def test_loading_an_upstream_checkpoint_names_the_import_command(release):
    checkpoint, _, _ = release.write()
    with pytest.raises(CheckpointError, match="import-checkpoint"):
        load_scorer(str(checkpoint))


def test_progress_ends_at_the_total(release):
    calls = []
    run(release, progress=lambda steps, total: calls.append((steps, total)))
    steps = np.array([step for step, _ in calls])
    assert (np.diff(steps) >= 0).all()
    assert calls[-1][0] == calls[-1][1]
