"""Loaded models, each with what stands before it: its room and its queue."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property, partial

from identity_reward_client.errors import InternalError, ModelNotFound
from identity_reward_client.messages import ModelInfo, ModelStamp
from reward_model.decoding.images import ImageRule
from reward_model.scorer import Scorer

from ..operations.metrics import Metrics
from ..scheduling.admission import Admission, Drain
from ..scheduling.scheduler import Scheduler
from ..settings.settings import Settings
from .loading import load_warm


@dataclass(frozen=True)
class ServedModel:
    scorer: Scorer
    admission: Admission
    scheduler: Scheduler

    @property
    def name(self) -> str:
        return self.scorer.info.name

    @property
    def picture_rule(self) -> ImageRule:
        return self.scorer.info.frame_sampling.reference_files

    @cached_property
    def stamp(self) -> ModelStamp:
        info = self.scorer.info
        return ModelStamp(
            name=info.name, version=info.version, fingerprint=info.fingerprint, domain=info.domain,
            frame_sampling=info.frame_sampling.name, prompt_used=info.prompt_used,
        )  # fmt: skip


class ServedModels:
    """By their own names, which for folders and files differ from what the settings call them."""

    def __init__(self) -> None:
        self._models: dict[str, ServedModel] = {}
        self._default = ""

    def __len__(self) -> int:
        return len(self._models)

    def load(self, settings: Settings, metrics: Metrics, pool: Executor, on_lost: Callable[[str], None]) -> None:
        """InternalError says which one failed and why; those that were loaded are closed by `close`."""
        for given in settings.inference.models:
            scorer = load_warm(given, settings)
            name = scorer.info.name
            if name in self._models:
                raise InternalError(f"two of the served models are called {name!r}; serve one of them, or rename one")
            drain = Drain()
            admission = Admission(settings.scheduling.max_waiting_tokens, drain)
            on_batch = partial(metrics.batch, name, settings.scheduling.max_batch_tokens)
            scheduler = Scheduler(scorer, pool, settings.scheduling.max_batch_tokens, drain, on_batch, on_lost)
            metrics.watch(name, admission, scheduler, scorer.caches)
            self._models[name] = ServedModel(scorer, admission, scheduler)
            if given == settings.inference.default:
                self._default = name

    def find(self, name: str | None) -> ServedModel:
        """Under this name, or the default."""
        name = self._default if name is None else name
        if name not in self._models:
            raise ModelNotFound(f"no model is called {name[:80]!r} here; there are {', '.join(self._models)}")
        return self._models[name]

    def all(self) -> list[ServedModel]:
        """The default first."""
        return sorted(self._models.values(), key=lambda model: model.name != self._default)

    @property
    def wait_s(self) -> float:
        """Seconds in which the longest queue is worked off."""
        return max((model.admission.wait_s for model in self._models.values()), default=0.0)

    def describe(self, name: str | None) -> ModelInfo:
        info = self.find(name).scorer.info
        fields = {field: getattr(info, field) for field in ModelInfo.model_fields if field != "default"}
        return ModelInfo(**fields, default=info.name == self._default)

    def close(self) -> None:
        """Finish what runs, refuse what waits."""
        for model in self._models.values():
            model.scheduler.close()
