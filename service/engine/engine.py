"""The only thing that a transport calls: requests in, answers out, every failure a RewardError."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from identity_reward_client.errors import DeadlineExceeded, NotReady, Overloaded
from identity_reward_client.messages import (
    CompareRequest,
    CompareResponse,
    GroupRequest,
    GroupResponse,
    Item,
    ModelInfo,
    ReferenceSetResponse,
    RequestBase,
    ScoreRequest,
    ScoreResponse,
    Timing,
    Video,
)
from identity_reward_client.messages import ReferenceSet as ReferenceSetMessage
from identity_reward_client.wire.content_ids import reference_set_id

from ..errors import stopping
from ..media.decoding import decode_references, make_decoder
from ..media.reference_store import ReferenceStore
from ..media.resolve import Links
from ..operations.metrics import Metrics
from ..operations.tracing import Tracer
from ..scheduling.admission import ByteRoom, ClientRates
from ..scheduling.call import Call
from ..settings.settings import Settings
from .idempotency import Idempotency
from .identified_request import Asked, name_contents
from .loading import check_names
from .pipeline import Answer, Known, Pipeline
from .responses import check_limit, check_references, check_theta, compared, grouped, item, scored_or_raise
from .result_cache import ResultCache
from .served_model import ServedModel, ServedModels
from .timing import Clock

T = TypeVar("T")


class ScoringEngine:
    """Holds the models. `start` loads and warms them; every method after it may be called from any event loop.

    `on_lost` hears, from the scoring thread, that the device is gone: the process is of no more use then.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics | None = None, on_lost: Callable[[str], None] = lambda reason: None
    ):
        self.settings = settings
        self.metrics = metrics or Metrics()
        # of requests' bodies: transports take it before they read one
        self.body_room = ByteRoom(settings.scheduling.max_waiting_bytes, lambda: self._models.wait_s)
        self._models = ServedModels()
        self._references = ReferenceStore(settings.media.max_reference_store_bytes)
        self._results = ResultCache(settings.requests.result_cache_entries)
        self._idempotency = Idempotency(settings.requests.idempotency_lifetime_s)
        rate = settings.scheduling.client_videos_per_s
        self._rates = None if rate is None else ClientRates(rate, settings.scheduling.client_burst_videos)
        self._pool = ThreadPoolExecutor(settings.media.decode_threads, thread_name_prefix="decode")
        # apart from the pool, whose threads may all be busy with what was let in
        self._probes = ThreadPoolExecutor(max(settings.media.decode_workers, 2), thread_name_prefix="probe")
        self._decoder = make_decoder(settings.media)
        self._links = Links(settings)
        self._pipeline = Pipeline(settings.media, self._references, self._results, self._probes, self._decoder)
        self._tracer = Tracer(settings)
        self._on_lost = on_lost
        self._draining = False

    @property
    def ready(self) -> bool:
        return bool(len(self._models)) and not self._draining

    def start(self) -> None:
        """Load and warm the models; it takes seconds and blocks. A RewardError says which one failed and why."""
        check_names(self.settings.inference.models)
        models = ServedModels()
        try:
            self._decoder.start()
            models.load(self.settings, self.metrics, self._pool, self._lost)
            self._decoder.wait_ready()
        except BaseException:
            models.close()
            self._decoder.close()
            self._links.close()
            self._pool.shutdown(wait=False)
            self._probes.shutdown(wait=False)
            raise
        self.metrics.watch_engine(self.body_room, self._results.counts)
        self._models = models

    def begin_drain(self) -> None:
        """Refuse new requests; those that were taken are answered."""
        self._draining = True

    async def close(self) -> None:
        """Finish what runs, refuse what waits, free the threads. The engine can't be started again."""
        models, self._models = self._models, ServedModels()
        await asyncio.to_thread(models.close)
        await asyncio.to_thread(self._decoder.close)
        self._links.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._probes.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._tracer.close)

    def check_room(self, call: Call) -> None:
        """NotReady or Overloaded where no request at all would be taken now: for transports, before they read one."""
        self._check_ready()
        full: Overloaded | None = None
        for model in self._models.all():
            try:
                return model.admission.check_room(call)
            except Overloaded as error:
                full = error
        if full is not None:
            raise full

    def models(self) -> list[ModelInfo]:
        """What is served, the default first."""
        return [self._models.describe(model.name) for model in self._models.all()]

    def model(self, name: str | None) -> ModelInfo:
        """What is served under this name, or as the default."""
        self._check_loaded()
        return self._models.describe(name)

    async def put_references(self, request: ReferenceSetMessage, call: Call | None = None) -> ReferenceSetResponse:
        """Keep the pictures for requests that name them by id, as long as there is room."""
        self._check_ready()
        check_references(len(request.images), self.settings.requests.max_references)
        images = await self._links.bring_pictures(request.images, self._links.allowance((call or Call()).deadline))

        def decode() -> ReferenceSetResponse:
            identity = reference_set_id(images)
            for rule in {model.picture_rule for model in self._models.all()}:
                references = decode_references(images, self.settings.media, self._decoder, rule)
                self._references.put((identity, rule), references)
            return ReferenceSetResponse(id=identity, num_references=len(images))

        return await asyncio.get_running_loop().run_in_executor(self._probes, decode)

    async def score(self, request: ScoreRequest, call: Call | None = None) -> ScoreResponse:
        call = call or Call()

        async def answer(asked: Asked) -> ScoreResponse:
            model, outcomes, timing = await self._run(asked, call)
            scored = scored_or_raise(outcomes[0]).model_dump()
            return ScoreResponse(**scored, request_id=call.request_id, model=model.stamp, timing=timing)

        return await self._once(request, [request.video], call, answer)

    async def compare(self, request: CompareRequest, call: Call | None = None) -> CompareResponse:
        """Both videos or an error, whose details name the video ("a" or "b") that could not be scored."""
        check_theta(request.theta)
        call = call or Call()

        async def answer(asked: Asked) -> CompareResponse:
            model, outcomes, timing = await self._run(asked, call)
            a, b = (scored_or_raise(outcome, video=name) for name, outcome in zip("ab", outcomes, strict=True))
            return compared(request, call, model, a, b, timing)

        answered = await self._once(request, [request.video_a, request.video_b], call, answer)
        self.metrics.verdict(answered.model.name, answered.verdict)
        return answered

    async def score_group(self, request: GroupRequest, call: Call | None = None) -> GroupResponse:
        return await self._group(request, call or Call())

    async def stream_group(
        self, request: GroupRequest, call: Call | None = None
    ) -> AsyncIterator[Item | GroupResponse]:
        """Each item as soon as it is known, in any order; then the whole answer."""
        news: asyncio.Queue[Item | None] = asyncio.Queue()
        told: set[int] = set()
        group = asyncio.ensure_future(
            self._group(request, call or Call(), lambda place, one: news.put_nowait(item(place, one)))
        )
        group.add_done_callback(lambda _: news.put_nowait(None))
        try:
            while (one := await news.get()) is not None:
                told.add(one.index)
                yield one
            answer = await group
            for one in answer.items:
                if one.index not in told:  # another call with this key was first
                    yield one
            yield answer
        finally:
            group.cancel()

    async def _group(self, request: GroupRequest, call: Call, known: Known | None = None) -> GroupResponse:
        check_theta(request.theta)

        async def answer(asked: Asked) -> GroupResponse:
            model, outcomes, timing = await self._run(asked, call, known)
            return grouped(request, call, model, outcomes, timing)

        return await self._once(request, request.videos, call, answer)

    async def _once(
        self, request: RequestBase, videos: Sequence[Video], call: Call, answer: Callable[[Asked], Awaitable[T]]
    ) -> T:
        """`answer`, with the media at hand, and their names where anybody needs them; a repeat of an earlier call gets
        its answer."""
        self._check_ready()
        self._check(request, videos, self._models.find(request.model))
        if self._rates is not None:
            self._rates.take(call.client, len(videos))
        sent = request
        request, here = await self._links.bring(sent, videos, call.deadline)
        named = self._results.entries or call.idempotency_key or len(videos) > 1
        asked = await name_contents(request, here) if named else Asked(request, here)
        if call.idempotency_key is None:
            return await answer(asked)
        key, digest = call.idempotency_key, asked.digest(sent, videos)
        while True:
            try:
                return await self._idempotency.run(call.client, key, digest, lambda: answer(asked))
            except DeadlineExceeded:
                if call.remaining_s <= 0:
                    raise  # else it was that of an earlier call, which this one had joined

    async def _run(
        self, asked: Asked, call: Call, known: Known | None = None
    ) -> tuple[ServedModel, list[Answer], Timing]:
        """A score or an error for each video. An error about the request as a whole is raised."""
        self._check_loaded()
        model = self._models.find(asked.request.model)
        about: dict[str, str | int] = {"model": model.name, "videos": len(asked.videos)}
        with self._tracer.request(asked.verb, call, about) as stage:
            clock = Clock(self.metrics, model.name, stage)
            outcomes = await self._pipeline.run(model, asked, call, clock, known)
        for outcome in outcomes:
            self.metrics.item(model.name, outcome)
        return model, outcomes, clock.timing()

    def _check_loaded(self) -> None:
        if not len(self._models):
            raise NotReady("the models are not loaded", retry_after_s=5)

    def _check_ready(self) -> None:
        self._check_loaded()
        if self._draining:
            raise stopping()

    def _check(self, request: RequestBase, videos: Sequence[Video], model: ServedModel) -> None:
        given = request.references
        if isinstance(given, str):
            stored = self._references.find((given, model.picture_rule))
            count = 0 if stored is None else len(stored.images)
        else:
            count = len(given)
        limits = self.settings.requests
        check_references(count, min(limits.max_references, model.scorer.info.max_references))
        check_limit("videos", len(videos), "max_group_videos", limits.max_group_videos)
        check_limit("characters of prompt", len(request.prompt or ""), "max_prompt_chars", limits.max_prompt_chars)

    def _lost(self, reason: str) -> None:
        self._draining = True
        self._on_lost(reason)
