"""The only thing that a transport calls: requests in, answers out, every failure a RewardError."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from identity_reward_client.errors import (
    InternalError,
    InvalidRequest,
    LimitExceeded,
    ModelNotFound,
    NotReady,
    RewardError,
)
from identity_reward_client.messages import (
    CompareRequest,
    CompareResponse,
    GroupRequest,
    GroupResponse,
    Item,
    ModelInfo,
    ModelStamp,
    ReferenceSetResponse,
    RequestBase,
    Scored,
    ScoreRequest,
    ScoreResponse,
    Timing,
    Video,
)
from identity_reward_client.messages import ReferenceSet as ReferenceSetMessage
from identity_reward_client.preference import matrices, probabilities, verdict
from reward_model.decode_picture import PictureRule
from reward_model.scorer import Scorer

from .call import Call
from .failures import as_typed, body
from .links import Links
from .media import ReferenceStore, decode_references, make_decoder, reference_set_id
from .metrics import Metrics
from .models import check_names, load_warm
from .pipeline import Clock, Pipeline
from .scheduler import Scheduler
from .settings import Settings

MAX_THETA = 1e6


@dataclass(frozen=True)
class _Model:
    scorer: Scorer
    scheduler: Scheduler

    @property
    def picture_rule(self) -> PictureRule:
        return self.scorer.info.frame_sampling.reference_files

    @property
    def stamp(self) -> ModelStamp:
        info = self.scorer.info
        return ModelStamp(
            name=info.name, version=info.version, fingerprint=info.fingerprint, domain=info.domain,
            frame_sampling=info.frame_sampling.name, prompt_used=info.prompt_used,
        )  # fmt: skip


class ScoringEngine:
    """Holds the models. `start` loads and warms them; every method after it may be called from any event loop."""

    def __init__(self, settings: Settings, metrics: Metrics | None = None):
        self.settings = settings
        self.metrics = metrics or Metrics()
        # by the models' own names, which for folders and files differ from what the settings call them
        self._models: dict[str, _Model] = {}
        self._default = ""
        self._references = ReferenceStore(settings.max_reference_store_bytes)
        self._pool = ThreadPoolExecutor(settings.decode_threads, thread_name_prefix="decode")
        self._decoder = make_decoder(settings)
        self._links = Links(settings)
        self._pipeline = Pipeline(settings, self._references, self._pool, self._decoder, self._links)

    @property
    def ready(self) -> bool:
        return bool(self._models)

    def start(self) -> None:
        """Load and warm the models; it takes seconds and blocks. A RewardError says which one failed and why."""
        check_names(self.settings.models)
        models: dict[str, _Model] = {}
        try:
            self._decoder.start()
            self._load(models)
            with as_typed():
                self._decoder.wait_ready()
        except BaseException:
            for model in models.values():
                model.scheduler.close()
            self._decoder.close()
            self._links.close()
            self._pool.shutdown(wait=False)
            raise
        self._models = models

    def _load(self, models: dict[str, _Model]) -> None:
        for given in self.settings.models:
            scorer = load_warm(given, self.settings)
            name = scorer.info.name
            if name in models:
                raise InternalError(f"two of the served models are called {name!r}; serve one of them, or rename one")
            scheduler = Scheduler(
                scorer,
                max_batch_items=self.settings.max_batch_items,
                max_waiting_items=self.settings.max_waiting_items,
            )
            self.metrics.waiting_items.labels(name).set_function(partial(getattr, scheduler, "admitted"))
            self.metrics.watch_caches(name, scorer.caches)
            models[name] = _Model(scorer, scheduler)
            if given == self.settings.default:
                self._default = name

    async def close(self) -> None:
        """Finish what runs, refuse what waits, free the threads. The engine can't be started again."""
        models, self._models = self._models, {}
        for model in models.values():
            await asyncio.to_thread(model.scheduler.close)
        await asyncio.to_thread(self._decoder.close)
        self._links.close()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def models(self) -> list[ModelInfo]:
        """What is served, the default first."""
        names = sorted(self._models, key=lambda name: name != self._default)
        return [self.model(name) for name in names]

    def model(self, name: str | None) -> ModelInfo:
        """What is served under this name, or as the default."""
        info = self._find(name).scorer.info
        return ModelInfo(
            **{field: getattr(info, field) for field in ModelInfo.model_fields if field != "default"},
            default=info.name == self._default,
        )

    async def put_references(self, request: ReferenceSetMessage) -> ReferenceSetResponse:
        """Keep the pictures for requests that name them by id, as long as there is room."""
        self._check_references(len(request.images), self.settings.max_references)
        images = await self._pipeline.pictures_brought_in(request.images, self._links.allowance())

        def decode() -> ReferenceSetResponse:
            identity = reference_set_id(images)
            for rule in {model.picture_rule for model in self._models.values()}:
                references = decode_references(images, self.settings, self._decoder, rule)
                self._references.put((identity, rule), references)
            return ReferenceSetResponse(id=identity, num_references=len(images))

        return await asyncio.get_running_loop().run_in_executor(self._pool, decode)

    async def score(self, request: ScoreRequest, call: Call | None = None) -> ScoreResponse:
        call = call or Call()
        model, outcomes, timing = await self._run(request, [request.video])
        return ScoreResponse(
            **_scored(outcomes[0]).model_dump(), request_id=call.request_id, model=model.stamp, timing=timing
        )

    async def compare(self, request: CompareRequest, call: Call | None = None) -> CompareResponse:
        """Both videos or an error, whose details name the video ("a" or "b") that could not be scored."""
        _check_theta(request.theta)
        call = call or Call()
        model, outcomes, timing = await self._run(request, [request.video_a, request.video_b])
        a, b = (_scored(outcome, video=name) for name, outcome in zip("ab", outcomes, strict=True))
        difference = model.scorer.info.preference_scale * (a.reward - b.reward)
        p_a_wins, p_tie, p_b_wins = (float(p) for p in probabilities(difference, request.theta))
        return CompareResponse(
            request_id=call.request_id, model=model.stamp, a=a, b=b, theta=request.theta, p_a_wins=p_a_wins,
            p_tie=p_tie, p_b_wins=p_b_wins, verdict=verdict(difference, request.theta), timing=timing,
        )  # fmt: skip

    async def score_group(self, request: GroupRequest, call: Call | None = None) -> GroupResponse:
        _check_theta(request.theta)
        call = call or Call()
        model, outcomes, timing = await self._run(request, request.videos)
        win = tie = None
        if request.matrices:
            rewards_G = [out.reward if isinstance(out, Scored) else np.nan for out in outcomes]
            scaled_G = model.scorer.info.preference_scale * np.asarray(rewards_G)
            win, tie = (
                [[None if np.isnan(p) else float(p) for p in row] for row in matrix]
                for matrix in matrices(scaled_G, request.theta)
            )
        return GroupResponse(
            request_id=call.request_id, model=model.stamp, theta=request.theta, win=win, tie=tie, timing=timing,
            items=[
                Item(index=i, scored=out) if isinstance(out, Scored) else Item(index=i, error=body(out))
                for i, out in enumerate(outcomes)
            ],
        )  # fmt: skip

    async def stream_group(
        self, request: GroupRequest, call: Call | None = None
    ) -> AsyncIterator[Item | GroupResponse]:
        """Each item as soon as it is known, in any order; then the whole answer."""
        answer = await self.score_group(request, call)
        for item in answer.items:
            yield item
        yield answer

    def _find(self, name: str | None) -> _Model:
        if not self.ready:
            raise NotReady("the models are not loaded", retry_after_s=5)
        name = self._default if name is None else name
        if name not in self._models:
            raise ModelNotFound(f"no model is called {name[:80]!r} here; there are {', '.join(self._models)}")
        return self._models[name]

    async def _run(
        self, request: RequestBase, videos: Sequence[Video]
    ) -> tuple[_Model, list[Scored | RewardError], Timing]:
        """A score or an error for each video. An error about the request as a whole is raised."""
        model = self._find(request.model)
        self._check(request, videos, model)
        name = model.scorer.info.name
        clock = Clock(self.metrics, name)
        with model.scheduler.admit(len(videos)):
            outcomes = await self._pipeline.run(model.scorer, model.scheduler, request, videos, clock)
        for outcome in outcomes:
            self.metrics.items.labels(name, "failed" if isinstance(outcome, RewardError) else "scored").inc()
            if isinstance(outcome, RewardError):
                self.metrics.item_errors.labels(outcome.code).inc()
        return model, outcomes, clock.timing()

    def _check(self, request: RequestBase, videos: Sequence[Video], model: _Model) -> None:
        given = request.references
        references = self._references.get((given, model.picture_rule)) if isinstance(given, str) else None
        count = len(request.references) if references is None else len(references.images)
        self._check_references(count, min(self.settings.max_references, model.scorer.info.max_references))
        if len(videos) > self.settings.max_group_videos:
            raise _limit("videos", len(videos), "max_group_videos", self.settings.max_group_videos)
        length = len(request.prompt or "")
        if length > self.settings.max_prompt_chars:
            raise _limit("characters of prompt", length, "max_prompt_chars", self.settings.max_prompt_chars)

    @staticmethod
    def _check_references(count: int, allowed: int) -> None:
        if count > allowed:
            raise _limit("references", count, "max_references", allowed)


def _limit(what: str, given: int, name: str, maximum: int) -> LimitExceeded:
    return LimitExceeded(f"{given} {what}; at most {maximum} are taken", details={"limit": name, "maximum": maximum})


def _check_theta(theta: float) -> None:
    if theta > MAX_THETA:
        raise InvalidRequest(f"theta must be above 1 and at most {MAX_THETA:g}, got {theta:g}")


def _scored(outcome: Scored | RewardError, **details: str) -> Scored:
    if isinstance(outcome, RewardError):
        outcome.details.update(details)
        raise outcome
    return outcome
