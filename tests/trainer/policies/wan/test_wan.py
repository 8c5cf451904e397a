"""GRPO on the random models: two steps, resumption, two processes, compiled blocks, and its adapter in diffusers."""

import json
from copy import deepcopy
from shutil import copytree

import pytest
import torch
import yaml
from safetensors.torch import load_file
from typer.testing import CliRunner

from tests.support.ports import free_port
from tests.trainer.helpers.runs import start, values_of
from tests.trainer.helpers.wan_runs import run, trained_weights
from tests.trainer.policies.wan.conftest import VACE, options_of, write_json
from tests.trainer.policies.wan.test_lora import adapted
from trainer.cli import grpo
from trainer.policies.wan.lora import save_for_diffusers
from trainer.run.sample.video_files import read_mp4

WEIGHTS = "model/trained/pytorch_lora_weights.safetensors"


@pytest.fixture(scope="module", params=["vace", "phantom"])
def model(request):
    return request.param


@pytest.fixture(scope="module")
def model_options(model, checkpoint, t2v_checkpoint, phantom_weights, prompt_cache):
    if model == "vace":
        return options_of(checkpoint, prompt_cache)
    return {**options_of(t2v_checkpoint, prompt_cache), "weights": str(phantom_weights)}


@pytest.fixture(scope="module")
def whole(model, model_options, prompts, tmp_path_factory):
    """(folder, policy) of an undisturbed run of two steps."""
    out = tmp_path_factory.mktemp("runs") / "whole"
    return out, run(out, prompts, model, model_options)


def assert_equal(first, second, differ=False):
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first) is not differ


def test_two_steps_change_the_weights_with_a_ratio_of_1(whole, model):
    out, policy = whole
    assert values_of(out, "first_ratio_deviation") == [0.0] * 2
    assert all(value > 0 for value in values_of(out, "grad_norm"))
    second = [value for name, value in trained_weights(policy).items() if "lora_B" in name]
    # 8 linear layers of attention a block: 3 blocks, 2 of VACE's control
    assert len(second) == {"vace": 40, "phantom": 24}[model]
    assert all(value.any() for value in second)


def test_a_resumed_run_has_the_very_weights(whole, model, model_options, prompts, tmp_path):
    class Stop:
        def measure(self, group):
            return {}

        def check(self, number, values):
            if number == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", prompts, model, model_options, options={"guards": [Stop()]})
    run(tmp_path / "cut", prompts, model, model_options, options={"resume": True})
    assert_equal(load_file(whole[0] / WEIGHTS), load_file(tmp_path / "cut" / WEIGHTS))


def test_two_processes_hold_the_same_weights(model, model_options, prompts, tmp_path):
    rows = [{"id": p.key, "prompt": p.text, "references": [str(path) for path in p.references]} for p in prompts]
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    module = "tests.trainer.helpers.wan_runs"
    options = {**model_options, "prompt_cache": str(tmp_path / "prompts")}
    process = start(2, tmp_path / "two", tmp_path / "prompts.jsonl", module=module, model=model, **options)
    assert process.returncode == 0, process.stderr
    first, second = (load_file(tmp_path / f"two/rank-{rank}.safetensors") for rank in (0, 1))
    assert_equal(first, second)
    assert all(value.any() for value in first.values())
    # the first process alone computes embeddings
    assert process.stderr.count("computing the embeddings of 4 prompts") == 1


@pytest.mark.parametrize(
    ("backend", "tolerance"),
    [
        ("aot_eager", 0.0),
        # its kernels with and without gradients may round differently
        pytest.param("inductor", 1e-6, marks=pytest.mark.slow),
    ],
)
def test_the_ratio_is_1_with_compiled_blocks(model, model_options, prompts, tmp_path, backend, tolerance):
    """On a model of one block of each kind: compilation takes seconds a graph."""
    options = {**model_options, **one_block(model, model_options, tmp_path / "small")}
    one = {"steps": 1, "groups_per_update": 1}
    run(tmp_path / "plain", prompts[:1], model, options, **one)
    run(tmp_path / "compiled", prompts[:1], model, {**options, "compile_backend": backend}, **one)
    assert max(values_of(tmp_path / "compiled", "first_ratio_deviation")) <= tolerance
    for name in ("reward", "grad_norm"):
        assert values_of(tmp_path / "compiled", name) == pytest.approx(values_of(tmp_path / "plain", name), rel=1e-3)
    # the names of layers are those without compilation
    first, second = (load_file(tmp_path / name / WEIGHTS) for name in ("plain", "compiled"))
    assert first.keys() == second.keys()


def one_block(model, options, folder):
    """Options of the model with one block of each kind, saved in a new folder."""
    from diffusers import WanVACETransformer3DModel

    copytree(options["checkpoint"], folder)
    if model == "vace":
        small = WanVACETransformer3DModel(**{**VACE, "num_layers": 1, "vace_layers": [0]})
        small.save_pretrained(folder / "transformer")
        return {"checkpoint": str(folder)}
    write_json(folder / "transformer/config.json", num_layers=1)
    weights = torch.load(options["weights"], weights_only=True)
    torch.save({k: v for k, v in weights.items() if not k.startswith(("blocks.1", "blocks.2"))}, folder / "weights.pth")
    return {"checkpoint": str(folder), "weights": str(folder / "weights.pth")}


@pytest.mark.parametrize("model", ["vace"], indirect=True)
def test_the_adapter_gives_the_same_video_in_diffusers(whole, checkpoint, prompts):
    from tests.trainer.policies.wan.test_vace import euler, load_pipeline, run_pipeline, sampled

    out, policy = whole
    noise, latents, _ = sampled(policy, prompts[1])
    pipeline = euler(load_pipeline(checkpoint))
    before = run_pipeline(pipeline, policy, prompts[1], noise, "latent")
    pipeline.load_lora_weights(out / "model/trained")
    after = run_pipeline(pipeline, policy, prompts[1], noise, "latent")
    assert (latents[:, :, -3:] - after).abs().max() <= 1e-4
    assert (latents[:, :, -3:] - before).abs().max() > 1e-3


@pytest.mark.parametrize("model", ["phantom"], indirect=True)
def test_the_adapter_works_in_diffusers_transformer(whole, t2v_checkpoint, phantom_transformer, prompts):
    """diffusers has no pipeline of Phantom: `load_lora_weights` of Wan's, and Phantom's loop restated."""
    from diffusers import WanPipeline

    from tests.trainer.helpers.phantom_loop import Euler, encoded_references, load_vae, original
    from tests.trainer.policies.wan.test_phantom import STEPS, embedding, sampled

    out, policy = whole
    noise, latents, _ = sampled(policy, prompts[1])
    pipeline = WanPipeline.from_pretrained(
        t2v_checkpoint, transformer=deepcopy(phantom_transformer), text_encoder=None, tokenizer=None
    )
    references = encoded_references(load_vae(t2v_checkpoint), prompts[1])
    texts = [embedding(policy, text) for text in (prompts[1].text, "worst quality")]
    before = original(pipeline.transformer, references, noise, *texts, Euler(STEPS))
    pipeline.load_lora_weights(out / "model/trained")
    after = original(pipeline.transformer, references, noise, *texts, Euler(STEPS))
    assert (latents - after).abs().max() <= 1e-4
    assert (latents - before).abs().max() > 1e-3


@pytest.fixture
def command(model, model_options, prompts, tmp_path):
    """Runs a command of `identity-reward grpo` with a configuration of the policy."""
    rows = [{"id": p.key, "prompt": p.text, "references": [str(path) for path in p.references]} for p in prompts]
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    config = {
        "kind": "grpo",
        "policy": {"factory": f"trainer.policies.wan.{model}:load_policy", "options": model_options},
        "data": {"prompts": str(tmp_path / "prompts.jsonl"), "evaluation_prompts": str(tmp_path / "prompts.jsonl")},
        "adapter": {"rank": 4, "alpha": 4},
        "evaluation_sampling": {"num_steps": 2, "guidance": 2.0},
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))

    def invoke(*arguments):
        words = [str(tmp_path / "config.yaml") if word == "CONFIG" else str(word) for word in arguments]
        return CliRunner().invoke(grpo, words)

    return invoke


def test_the_adapter_of_a_run_is_compared_with_the_base(whole, command, prompts, tmp_path):
    result = command("sample", "CONFIG", "--adapter", whole[0] / "model/trained", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    pairs = [[read_mp4(path) for path in sorted((tmp_path / "out" / side).iterdir())] for side in ("before", "after")]
    assert [clip.shape for clip in pairs[0]] == [(9, 32, 48, 3)] * len(prompts)
    assert any((before != after).any() for before, after in zip(*pairs, strict=True))


@pytest.mark.parametrize("model", ["vace"], indirect=True)
def test_an_adapter_of_another_model_is_refused_before_weights_are_loaded(checkpoint, command, tmp_path, monkeypatch):
    save_for_diffusers(adapted(checkpoint, alpha=4, targets=("to_q",)), tmp_path / "adapter")
    monkeypatch.setattr("trainer.policies.wan.vace.load_transformer", None)
    result = command("sample", "CONFIG", "--adapter", tmp_path / "adapter", "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "is an adapter of another model: of 40 adapted layers of the policy, it differs in" in result.output


def test_a_dry_run_reads_the_sizes_of_the_checkpoint(whole, model, command, tmp_path):
    adapter = whole[0] / "model/trained"
    more = ["--set", f"adapter.init={adapter}", "--set", f"rewards.url=http://127.0.0.1:{free_port()}"]
    result = command("CONFIG", "--out", tmp_path / "run", "--dry-run", *more)
    assert [line[:42] for line in result.stderr.splitlines()] == ["identity-reward grpo: no reward service at"]
    parameters = {"vace": "59,408", "phantom": "35,008"}[model]
    assert f"{model}:load_policy are those of {parameters} parameters" in result.output
    assert f"{adapter} is an adapter of rank 4" in result.output
    assert "at the peak" in result.output
