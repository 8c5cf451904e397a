"""Updates of the toy policy from real rollouts: ratios, KL, gradients, and objectives."""

from contextlib import suppress

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import GradientAccumulationPlugin

from reward_model.training.errors import NotFinite
from reward_model.training.loop.processes import TrainedModule
from tests.trainer.helpers.runs import make_config
from tests.trainer.helpers.toy_policy import ToyPolicy, make_prompts
from trainer.noise import Noise
from trainer.policies.adapters import add_lora, is_adapter
from trainer.updates.micro_batches import GroupAdvantages, optimizer_batches
from trainer.updates.objectives import build_objective
from trainer.updates.updater import Updater


@pytest.fixture(scope="module")
def prompts(tmp_path_factory):
    torch.set_num_threads(1)
    return make_prompts(tmp_path_factory.mktemp("references"), 2)


class Setup:
    """A policy with LoRA that was trained a little, an objective of it, and a rollout with advantages."""

    def __init__(self, prompts, used=None, seed=0, **fields):
        self.config, self.policy = make_config(**fields), ToyPolicy()
        network = self.policy.network
        add_lora(network, self.policy.lora_targets, 4, 4, seed)
        torch.manual_seed(seed)
        self.parameters = {name: p for name, p in network.named_parameters() if is_adapter(name)}
        for parameter in self.parameters.values():
            parameter.data.normal_(std=0.05)
        plugin = GradientAccumulationPlugin(1, sync_with_dataloader=False)
        self.accelerator = Accelerator(cpu=True, gradient_accumulation_plugin=plugin)
        optimizer = torch.optim.AdamW(self.parameters.values(), self.config.optimizer.learning_rate)
        network, optimizer = self.accelerator.prepare(network, optimizer)
        self.objective = build_objective(self.config, self.policy, network, network, self.parameters)
        self.trained = TrainedModule(network, (optimizer,), self.accelerator)
        self.updater = Updater(self.objective, self.trained, self.accelerator, 1.0)
        size = self.config.group_size
        used = np.ones((2, size), bool) if used is None else np.array(used)
        advantages = np.where(used, np.random.default_rng(seed).normal(size=(2, size)), np.nan)
        window = self.objective.window(range(self.config.sampling.num_steps - 1))
        with self.objective.sampling_weights():
            self.rollouts = [
                self.objective.sampler.sample(network, prompt, prompt.key, size, Noise(0, 0), window)
                for prompt in prompts
            ]
        self.groups = [
            GroupAdvantages(*group, used_G) for *group, used_G in zip(self.rollouts, advantages, used, strict=True)
        ]

    def batches(self):
        steps = self.objective.trained_in(self.rollouts[0])
        return optimizer_batches(self.groups, steps, self.config, 0, self.accelerator)

    def update(self):
        return list(self.updater.updates(self.batches()))

    def weights(self):
        return torch.cat([parameter.detach().flatten() for parameter in self.parameters.values()])


@pytest.mark.parametrize("kind", ["clip", "guard"])
def test_the_ratio_is_exactly_1_before_the_first_update(prompts, kind):
    """In fp32 with equal micro-batches, from the log-probabilities that sampling stored."""
    setup = Setup(prompts, loss__kind=kind, updates_per_rollout=2, groups_per_update=1)
    setup.objective.before(setup.batches())
    assert len(setup.objective._old) == 2 * 5
    first, second = setup.update()
    assert first.max_deviation == 0
    assert second.max_deviation > 0


@pytest.mark.parametrize("fields", [{"micro_batch": 3}, {"sampling__storage_dtype": "bfloat16", "micro_batch": 1}])
def test_other_micro_batches_compute_old_log_probabilities_again(prompts, fields):
    setup = Setup(prompts, updates_per_rollout=2, groups_per_update=1, **fields)
    passes = setup.policy.passes
    first, second = setup.update()
    assert first.max_deviation == 0
    assert second.max_deviation > 0
    parts = -(-4 // setup.config.micro_batch)
    # each step of each micro-batch once for the old values, and once with gradients
    assert setup.policy.passes - passes == 2 * 2 * parts * 5


def test_a_single_update_needs_no_second_pass_for_old_values(prompts):
    setup = Setup(prompts, micro_batch=3)
    passes = setup.policy.passes
    (result,) = setup.update()
    assert (result.max_deviation, setup.policy.passes - passes) == (0, 2 * 2 * 5)


def test_the_first_update_does_not_depend_on_the_micro_batch(prompts):
    weights = []
    for micro_batch in (4, 1):
        setup = Setup(prompts, micro_batch=micro_batch)
        setup.update()
        weights.append(setup.weights())
    assert torch.allclose(*weights, atol=1e-4)
    assert not torch.allclose(weights[0], Setup(prompts).weights(), atol=1e-3)


def test_dropped_members_and_groups_have_no_influence(prompts):
    """Their latents may be anything: not even NaN reaches the weights. A dropped group's KL is left out too."""
    used = [[True, True, False, True], [False] * 4]
    fields = {"loss__kl_weight": 0.1, "micro_batch": 1, "sampling__batch": 1}
    plain, spoilt = Setup(prompts, used, **fields), Setup(prompts, used, **fields)
    for latents in (*spoilt.rollouts[1].latents.values(), *(x[2:3] for x in spoilt.rollouts[0].latents.values())):
        latents.fill_(torch.nan)
    results = [setup.update()[0] for setup in (plain, spoilt)]
    assert results[0] == results[1]
    assert torch.equal(plain.weights(), spoilt.weights())


def test_the_loss_is_normalized_by_the_valid_samples(prompts):
    """Gradients of two groups are the mean of those of each alone, weighted by their valid members."""
    fields = {"optimizer__grad_clip": 1e9}
    used = np.array([[True, True, False, True], [True, False, False, True]])
    gradients = []
    for rows in (used, used * [[1], [0]], used * [[0], [1]]):
        setup = Setup(prompts, rows.astype(bool), **fields)
        seen = []
        setup.trained.optimizers[0].optimizer.register_step_pre_hook(
            lambda *_, s=setup, seen=seen: seen.append(torch.cat([p.grad.flatten() for p in s.parameters.values()]))
        )
        setup.updater._grad_clip = 1e9
        setup.update()
        gradients.append(seen[0])
    both, first, second = gradients
    assert torch.allclose(both, (3 * first + 2 * second) / 5, atol=1e-6)


def test_an_update_without_samples_changes_nothing(prompts):
    setup = Setup(prompts, np.zeros((2, 4), bool), loss__kl_weight=1.0)
    before = setup.weights()
    assert setup.update() == [None]
    assert torch.equal(setup.weights(), before)


def test_kl_pulls_towards_the_base_model(prompts):
    """With advantages of 0, updates are those of the KL term alone."""
    setup = Setup(prompts, loss__kl_weight=10.0, passes=30, optimizer__learning_rate=3e-3)
    for group in setup.groups:
        group.advantages_G[:] = 0
    results = setup.update()
    assert results[0].kl > 0
    assert results[-1].kl < results[0].kl / 2


@pytest.mark.parametrize("kind", ["clip", "guard"])
def test_updates_raise_the_probability_of_good_members(prompts, kind):
    setup = Setup(prompts, loss__kind=kind, loss__clip_range=10.0, passes=10, optimizer__learning_rate=1e-3)
    for group in setup.groups:
        group.advantages_G[:] = [3.0, -1.0, -1.0, -1.0]
    setup.update()
    with torch.no_grad():
        gains = [
            setup.objective._values(setup.trained.module, part, step)[0].log_prob - part.rollout.log_probs[step]
            for part, step in setup.batches()[0].parts
        ]
    good, *bad = torch.stack(gains).mean(0).tolist()
    assert good > 0 > max(bad)


def test_nft_moves_away_from_the_old_policy_as_its_loss_falls(prompts):
    setup = Setup(prompts, loss__kind="nft", passes=10, optimizer__learning_rate=1e-3)
    results = setup.update()
    assert results[-1].loss < results[0].loss


def test_the_old_policy_of_nft_samples_and_follows(prompts):
    setup = Setup(prompts, loss__kind="nft")
    old = setup.objective.extras["old"]
    assert setup.rollouts[0].latents == {}
    before = {name: tensor.clone() for name, tensor in old.items()}
    setup.update()
    assert all(torch.equal(old[name], before[name]) for name in old)
    with setup.objective.sampling_weights():
        assert all(torch.equal(setup.parameters[name], before[name]) for name in old)
    setup.objective.after(0)
    # the first decay is 0: the old policy is the new one
    assert all(torch.equal(old[name], setup.parameters[name]) for name in old)


def test_a_loss_that_is_not_finite_stops_before_the_update(prompts):
    setup = Setup(prompts)
    before = setup.weights()
    setup.groups[1].rollout.latents[2].fill_(torch.inf)
    with pytest.raises(NotFinite, match=r"the loss is nan, with groups prompt-0-0, prompt-0-1\. Lower"):
        setup.update()
    assert torch.equal(setup.weights(), before)
    assert not setup.trained.updating
    with suppress(NotFinite):
        setup.update()
    assert torch.equal(setup.weights(), before)
