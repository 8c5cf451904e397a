"""Checks of everything that a run needs, without the weights of its policy. All problems are found at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reward_model.training.errors import TrainingError
from reward_model.training.loop.run_folder import open_run
from trainer.config import GrpoConfig
from trainer.errors import PolicyError
from trainer.policies.adapter_check import check_adapter
from trainer.policies.sizes import PolicySizes
from trainer.prompts import Prompt, read_prompts
from trainer.prompts.references import unreadable_references
from trainer.rewards.service import check_service

from ..policy import policy_sizes


@dataclass
class RunChecks:
    """What was found: a line for each check that passed, and for each problem."""

    passed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    # None where the policy states none, or its files are not as they should be
    sizes: PolicySizes | None = None
    # prompts of training, and of evaluation
    prompts: Sequence[Prompt] = ()
    held_out: Sequence[Prompt] = ()

    def attempt(self, check: Callable[[], str]) -> None:
        """Adds the line that `check` returns, or the error that it raises."""
        try:
            self.passed.append(check())
        except (TrainingError, PolicyError, OSError) as error:
            self.problems.append(str(error))


def check_run(config: GrpoConfig, out: Path, processes: int, token: str | None) -> RunChecks:
    """Prompts and images, files of the policy, the adapter to start from, and the service."""
    checks = RunChecks()
    checks.attempt(lambda: _check_folder(config, out))
    checks.attempt(lambda: _check_processes(config, processes))
    checks.attempt(lambda: _read_training_prompts(config, checks))
    if config.data.evaluation_prompts is not None:
        checks.attempt(lambda: _read_evaluation_prompts(config, checks))
    checks.problems += unreadable_references([*checks.prompts, *checks.held_out])
    checks.attempt(lambda: _check_policy(config, checks))
    if config.adapter.init is not None:
        checks.attempt(lambda: _check_adapter(config, checks))
    checks.attempt(lambda: _check_service(config, [*checks.prompts, *checks.held_out], token))
    return checks


def _check_folder(config: GrpoConfig, out: Path) -> str:
    open_run(out, config, {}, resume=False, allow_changes=False)
    return f"{out} is free for a new run"


def _check_processes(config: GrpoConfig, processes: int) -> str:
    if config.groups_per_update % processes:
        raise TrainingError(f"groups_per_update is {config.groups_per_update}, which {processes} processes can't share")
    return f"{processes} process(es) with {config.groups_per_rollout // processes} groups each"


def _read_training_prompts(config: GrpoConfig, checks: RunChecks) -> str:
    checks.prompts = read_prompts(config.data.prompts)
    return f"{len(checks.prompts)} prompts in {config.data.prompts}"


def _read_evaluation_prompts(config: GrpoConfig, checks: RunChecks) -> str:
    checks.held_out = read_prompts(str(config.data.evaluation_prompts))
    return f"{len(checks.held_out)} prompts in {config.data.evaluation_prompts}"


def _check_policy(config: GrpoConfig, checks: RunChecks) -> str:
    checks.sizes = policy_sizes(config, [*checks.prompts, *checks.held_out])
    if checks.sizes is None:
        return f"{config.policy.factory} is there; it states no sizes, so that there is no plan of memory"
    return f"the files of {config.policy.factory} are those of {checks.sizes.parameters:,} parameters"


def _check_adapter(config: GrpoConfig, checks: RunChecks) -> str:
    layers = checks.sizes.adapted_layers if checks.sizes else None
    check_adapter(Path(str(config.adapter.init)), config.adapter.rank, config.adapter.alpha, layers)
    return f"{config.adapter.init} is an adapter of rank {config.adapter.rank}"


def _check_service(config: GrpoConfig, prompts: Sequence[Prompt], token: str | None) -> str:
    models = check_service(config.rewards, prompts, token)
    names = ", ".join(f"{source} by {model.name}" for source, model in models.items())
    read = f"; it can use the references of {len(prompts)} prompts" if config.rewards.check_references else ""
    return f"the service has {names}{read}"
