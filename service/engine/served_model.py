"""Loaded models, each with its admission and its scheduler."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import cached_property, partial

from identity_reward_client.errors import InternalError, ModelNotFound
from identity_reward_client.messages import ModelInfo, ModelStamp
from reward_model.decoding.images import ImageRule
from reward_model.scorer import Scorer

from ..operations.metrics import Metrics
from ..scheduling.admission import Admission
from ..scheduling.scheduler import Scheduler
from ..scheduling.throughput import Throughput
from ..settings.settings import Settings
from .loading import load_warm


@dataclass(frozen=True)
class ServedModel:
    """A loaded model with its own admission and scheduler."""

    scorer: Scorer
    admission: Admission
    scheduler: Scheduler

    @property
    def name(self) -> str:
        """Name in requests and responses."""
        return self.scorer.info.name

    @property
    def image_rule(self) -> ImageRule:
        """How the files of its reference images are decoded."""
        return self.scorer.info.frame_sampling.reference_files

    @cached_property
    def stamp(self) -> ModelStamp:
        """Name, version and fingerprint of the model in responses."""
        info = self.scorer.info
        return ModelStamp(
            name=info.name, version=info.version, fingerprint=info.fingerprint, domain=info.domain,
            frame_sampling=info.frame_sampling.name, prompt_used=info.prompt_used,
        )  # fmt: skip


class ServedModels:
    """Models by their own names, which differ from those of the settings where these are folders or files."""

    def __init__(self) -> None:
        self._models: dict[str, ServedModel] = {}
        # name in the settings: the model's own
        self._loaded: dict[str, str] = {}
        self._default = ""

    def has(self, names: Iterable[str]) -> bool:
        """Whether the models with these names in the settings are loaded."""
        return self._loaded.keys() >= set(names)

    def __len__(self) -> int:
        return len(self._models)

    def load(
        self,
        names: Iterable[str],
        settings: Settings,
        metrics: Metrics,
        pool: Executor,
        on_lost: Callable[[str], None],
    ) -> None:
        """Load and warm the models with these names in the settings, unless they are loaded already.

        After an InternalError, `close` closes those that were loaded.
        """
        max_batch_tokens = settings.scheduling.max_batch_tokens
        for requested in names:
            if requested in self._loaded:
                continue
            scorer = load_warm(requested, settings)
            name = scorer.info.name
            if name in self._models:
                raise InternalError(f"two of the served models are called {name!r}; serve one of them, or rename one")
            throughput = Throughput()
            admission = Admission(settings.scheduling.max_waiting_tokens, throughput)
            on_batch = partial(metrics.batch, name, max_batch_tokens)
            scheduler = Scheduler(scorer, pool, max_batch_tokens, throughput, on_batch, on_lost)
            metrics.watch(name, admission, scheduler, scorer.caches)
            self._loaded[requested] = name
            models = {**self._models, name: ServedModel(scorer, admission, scheduler)}
            # replaced, not changed: requests may be reading it; in the order of the settings
            self._models = {
                self._loaded[other]: models[self._loaded[other]]
                for other in settings.inference.models
                if other in self._loaded
            }
            if requested == settings.inference.default:
                self._default = name

    def find(self, name: str | None) -> ServedModel:
        """The model of this name, the default for None. Raises ModelNotFound."""
        name = self._default if name is None else name
        if name not in self._models:
            raise ModelNotFound(f"no model is called {name[:80]!r} here; there are {', '.join(self._models)}")
        return self._models[name]

    def all(self) -> list[ServedModel]:
        """All models, the default first."""
        return sorted(self._models.values(), key=lambda model: model.name != self._default)

    @property
    def wait_s(self) -> float:
        """Predicted seconds until the longest queue is processed."""
        return max((model.admission.wait_s for model in self._models.values()), default=0.0)

    def describe(self, name: str | None) -> ModelInfo:
        """The public description of a model. Raises ModelNotFound."""
        info = self.find(name).scorer.info
        fields = {field: getattr(info, field) for field in ModelInfo.model_fields if field != "default"}
        return ModelInfo(**fields, default=info.name == self._default)

    def close(self) -> None:
        """Let running batches finish and fail what waits."""
        for model in self._models.values():
            model.scheduler.close()
