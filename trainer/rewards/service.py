"""The reward service of a run: its sources from the configuration, and checks before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np

from identity_reward_client.base import RewardClient
from identity_reward_client.errors import CallerError, RewardError
from identity_reward_client.fields.fps import Fps
from identity_reward_client.messages import ModelInfo
from identity_reward_client.sync import SyncRewardClient
from identity_reward_client.transports.http import HttpRewardClient
from identity_reward_client.transports.retry import RetryPolicy
from reward_model.training.errors import TrainingError

from ..prompts import Prompt
from .config import RewardsConfig, SourceConfig
from .remote import UNTIL_THE_STEP_ENDS
from .sources import RewardSource

# a service that is away is reported at once: nothing was computed yet that waiting for it would save
_ONCE = RetryPolicy(max_attempts=1)
_CHECK_TIMEOUT_S = 120.0
_SHOWN = 3
# a clip that any model can score, to ask whether it can read the references
_GREY_THWC = np.full((4, 64, 64, 3), 128, np.uint8)
# its rate where the configuration states none: the policy, which has its own, is not loaded yet
_CHECK_FPS = 8.0


def reward_sources(
    config: RewardsConfig, token: str | None = None, faces_of: str | None = None, timeout_s: float = 150.0
) -> list[RewardSource]:
    """The sources of a run, for `RemoteReward`; those of one URL share a client. `faces_of` names the source that sends
    details."""
    clients = {url: _client_factory(url, token, timeout_s) for url in _urls(config)}
    return [
        RewardSource(
            source.name, clients[source.url or config.url], source.model, source.weight, source.name == faces_of
        )
        for source in config.sources
    ]


def check_service(config: RewardsConfig, prompts: Sequence[Prompt], token: str | None = None) -> dict[str, ModelInfo]:
    """`check_models`, then `check_references`; the served model of each source, by its name."""
    models = check_models(config, token)
    check_references(config, prompts, models, config.fps or _CHECK_FPS, token)
    return models


def check_models(config: RewardsConfig, token: str | None = None) -> dict[str, ModelInfo]:
    """The served model of each source, by its name.

    Raises TrainingError where a service is not reachable, refuses the token or does not serve the model.
    """
    return {source.name: _model(source, models) for source, models in _models(config, token)}


def check_references(
    config: RewardsConfig,
    prompts: Sequence[Prompt],
    models: dict[str, ModelInfo],
    fps: Fps,
    token: str | None = None,
) -> None:
    """Sends every reference set once, with a grey clip, to every source with a weight.

    Raises TrainingError, which names prompts, where a model takes fewer references or cannot read them. `fps` is the
    rate that the service is told.
    """
    sources = [source for source in config.sources if source.weight]
    for source in sources:
        limit = models[source.name].max_references
        if over := [prompt.key for prompt in prompts if len(prompt.references) > limit]:
            raise TrainingError(
                f"the model {models[source.name].name} takes {limit} references, and {_some(over)} has more"
            )
    if not config.check_references:
        return
    sets = {prompt.references: prompt for prompt in reversed(prompts)}
    for source in sources:
        opened = _client(source.url or config.url, token, RetryPolicy())
        with closing(opened) as client, ThreadPoolExecutor(4) as pool:
            errors = pool.map(lambda prompt, c=client, s=source: _reference_error(c, s, prompt, fps), sets.values())
            bad = [f"{p.key}: {error}" for p, error in zip(sets.values(), errors, strict=True) if error]
        if bad:
            raise TrainingError(
                f"{len(bad)} of {len(sets)} reference sets can't be scored by {models[source.name].name}: "
                f"{_some(bad, '; ')}. Other images, or fewer prompts"
            )


def _models(config: RewardsConfig, token: str | None) -> Iterator[tuple[SourceConfig, list[ModelInfo]]]:
    served: dict[str, list[ModelInfo]] = {}
    for source in config.sources:
        url = source.url or config.url
        if url not in served:
            try:
                with closing(_client(url, token)) as client:
                    served[url] = client.models()
            except CallerError as error:
                raise TrainingError(f"the reward service at {url} refuses: {error.message}") from None
            except RewardError as error:
                raise TrainingError(
                    f"no reward service at {url} ({error.message}); start one: identity-reward serve"
                ) from None
        yield source, served[url]


def _model(source: SourceConfig, models: Sequence[ModelInfo]) -> ModelInfo:
    for model in models:
        if model.name == source.model or (source.model is None and model.default):
            return model
    names = ", ".join(model.name for model in models)
    raise TrainingError(f"rewards.sources: {source.name} names the model {source.model!r}; the service has {names}")


def _reference_error(client: SyncRewardClient, source: SourceConfig, prompt: Prompt, fps: Fps) -> str | None:
    try:
        response = client.score_group(
            list(prompt.references), [_GREY_THWC], fps=fps, prompt=prompt.text, model=source.model
        )
    except RewardError as error:
        return error.message
    item = response.items[0]
    return None if item.error is None else item.error.message


def _client(url: str, token: str | None, retry: RetryPolicy = _ONCE) -> SyncRewardClient:
    return SyncRewardClient(HttpRewardClient(url, token=token, timeout_s=_CHECK_TIMEOUT_S, retry=retry))


def _urls(config: RewardsConfig) -> set[str]:
    return {source.url or config.url for source in config.sources}


def _client_factory(url: str, token: str | None, timeout_s: float) -> Callable[[], RewardClient]:
    def create() -> RewardClient:
        return HttpRewardClient(url, token=token, timeout_s=timeout_s, retry=UNTIL_THE_STEP_ENDS, priority="rollout")

    return create


def _some(values: Sequence[str], separator: str = ", ") -> str:
    more = len(values) - _SHOWN
    return separator.join(values[:_SHOWN]) + (f"{separator}and {more} more" if more > 0 else "")
