"""Scoring engine: what every transport calls. A request in, a response or a RewardError out.

The life of a request, one module per stage: `validation`, `resolved_request` (media and their ids), `pipeline` (price,
admit, schedule) with `preparation` (decoding and preprocessing), `responses`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
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
    Video,
)
from identity_reward_client.messages import ReferenceSet as ReferenceSetMessage
from identity_reward_client.wire.content_ids import reference_set_id
from identity_reward_client.wire.duplicates import refuse_duplicates

from ..errors import stopping_error
from ..media.decoding import decode_references, make_decoder
from ..media.reference_store import ReferenceStore
from ..media.resolve import Links
from ..operations.metrics import Metrics
from ..operations.tracing import Tracer
from ..scheduling.byte_capacity import ByteCapacity
from ..scheduling.call import Call
from ..scheduling.client_rates import ClientRates
from ..scheduling.item_result import ItemResult
from ..settings.settings import Settings
from .idempotency import Idempotency
from .loading import check_names
from .pipeline import Pipeline
from .resolved_request import ResolvedRequest, resolve
from .responses import ScoredVideos, compare_response, group_response, item, score_response
from .result_cache import ResultCache
from .result_collector import OnItem
from .served_model import ServedModel, ServedModels
from .timing import StageClock
from .validation import check_num_references, validate

Request = TypeVar("Request", bound=RequestBase)
Response = TypeVar("Response")


class ScoringEngine:
    """Holds the models. `start` loads and warms them; the methods after it may be called from any event loop.

    `on_lost` is called in the scoring thread when the device is lost: the process can't score any more.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics | None = None, on_lost: Callable[[str], None] = lambda reason: None
    ):
        self.settings = settings
        self.metrics = metrics or Metrics()
        # transports take it before they read a body
        self.body_capacity = ByteCapacity(settings.scheduling.max_waiting_bytes, lambda: self._models.wait_s)
        self._models = ServedModels()
        self._references = ReferenceStore(settings.media.max_reference_store_bytes)
        self._results = ResultCache(settings.requests.result_cache_entries)
        self._idempotency = Idempotency(settings.requests.idempotency_lifetime_s)
        rate = settings.scheduling.client_videos_per_s
        self._rates = None if rate is None else ClientRates(rate, settings.scheduling.client_burst_videos)
        self._pool = ThreadPoolExecutor(settings.media.decode_threads, thread_name_prefix="decode")
        # apart from the pool, whose threads may all be busy with admitted requests
        self._probes = ThreadPoolExecutor(max(settings.media.decode_workers, 2), thread_name_prefix="probe")
        self._decoder = make_decoder(settings.media)
        self._links = Links(settings)
        self._pipeline = Pipeline(settings.media, self._references, self._results, self._probes, self._decoder)
        self._tracer = Tracer(settings)
        self._on_lost = on_lost
        self._draining = False

    @property
    def ready(self) -> bool:
        """Whether new requests are accepted."""
        return bool(len(self._models)) and not self._draining

    def start(self, names: Sequence[str] | None = None) -> None:
        """Load and warm the models; blocks for seconds. A RewardError names the model that failed and the reason.

        `names`: those of the settings' models that are loaded now, None for all. `load` loads others.
        """
        check_names(self.settings.inference.models)
        models = ServedModels()
        try:
            self._decoder.start()
            self._load(models, self.settings.inference.models if names is None else names)
            self._decoder.wait_ready()
        except BaseException:
            models.close()
            self._decoder.close()
            self._links.close()
            self._pool.shutdown(wait=False)
            self._probes.shutdown(wait=False)
            raise
        self.metrics.watch_engine(self.body_capacity, self._results.counts)
        self._models = models

    def has_loaded(self, names: Sequence[str]) -> bool:
        """Whether these of the settings' models are loaded."""
        return self._models.has(names)

    def load(self, names: Sequence[str]) -> None:
        """Load and warm these of the settings' models too, from one thread at a time. Raises as `start`."""
        self._load(self._models, names)

    def _load(self, models: ServedModels, names: Sequence[str]) -> None:
        models.load(names, self.settings, self.metrics, self._pool, self._lose_device)

    def begin_drain(self) -> None:
        """Refuse new requests; accepted ones are still answered."""
        self._draining = True

    async def close(self) -> None:
        """Finish running batches, fail what waits, free the threads. The engine can't be started again."""
        models, self._models = self._models, ServedModels()
        await asyncio.to_thread(models.close)
        await asyncio.to_thread(self._decoder.close)
        self._links.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._probes.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self._tracer.close)

    def check_capacity(self, call: Call) -> None:
        """Raise NotReady or Overloaded if no request could be accepted now. Transports call it before they read one."""
        self._check_ready()
        full: Overloaded | None = None
        for model in self._models.all():
            try:
                return model.admission.check_capacity(call)
            except Overloaded as error:
                full = error
        if full is not None:
            raise full

    def models(self) -> list[ModelInfo]:
        """Descriptions of all models, the default first."""
        return [self._models.describe(model.name) for model in self._models.all()]

    def model(self, name: str | None) -> ModelInfo:
        """Description of one model, of the default for None."""
        self._check_loaded()
        return self._models.describe(name)

    async def put_references(self, request: ReferenceSetMessage, call: Call | None = None) -> ReferenceSetResponse:
        """Decode and store reference images for requests that name them by id, until newer sets evict them."""
        self._check_ready()
        check_num_references(len(request.images), self.settings.requests.max_references)
        images = await self._links.resolve_images(request.images, self._links.budget((call or Call()).deadline))
        refuse_duplicates(images)

        def store() -> ReferenceSetResponse:
            identity = reference_set_id(images)
            for rule in {model.image_rule for model in self._models.all()}:
                references = decode_references(images, self.settings.media, self._decoder, rule)
                self._references.put((identity, rule), references)
            return ReferenceSetResponse(id=identity, num_references=len(images))

        return await asyncio.get_running_loop().run_in_executor(self._probes, store)

    async def score(self, request: ScoreRequest, call: Call | None = None) -> ScoreResponse:
        """Score one video."""
        return await self._respond(request, [request.video], call or Call(), score_response)

    async def compare(self, request: CompareRequest, call: Call | None = None) -> CompareResponse:
        """Compare two videos. The error of a video that can't be scored names it, "a" or "b", in its details."""
        response = await self._respond(request, [request.video_a, request.video_b], call or Call(), compare_response)
        self.metrics.verdict(response.model.name, response.verdict)
        return response

    async def score_group(self, request: GroupRequest, call: Call | None = None) -> GroupResponse:
        """Score a group of videos; an item that can't be scored holds its error."""
        return await self._respond(request, request.videos, call or Call(), group_response)

    async def stream_group(
        self, request: GroupRequest, call: Call | None = None
    ) -> AsyncIterator[Item | GroupResponse]:
        """Yield each item as soon as it is scored, in any order; then the whole response."""
        items: asyncio.Queue[Item | None] = asyncio.Queue()

        def on_item(index: int, result: ItemResult) -> None:
            items.put_nowait(item(index, result, request))

        group = asyncio.ensure_future(self._respond(request, request.videos, call or Call(), group_response, on_item))
        group.add_done_callback(lambda _: items.put_nowait(None))
        streamed: set[int] = set()
        try:
            while (event := await items.get()) is not None:
                streamed.add(event.index)
                yield event
            response = await group
            for event in response.items:
                if event.index not in streamed:  # an earlier call with this idempotency key computed it
                    yield event
            yield response
        finally:
            group.cancel()

    async def _respond(
        self,
        request: Request,
        videos: Sequence[Video],
        call: Call,
        build: Callable[[Request, ScoredVideos], Response],
        on_item: OnItem | None = None,
    ) -> Response:
        """The life of a request: validate, resolve media, price, admit, schedule, respond."""
        self._check_ready()
        model = self._models.find(request.model)
        validate(
            request, videos, self.settings.requests, self._num_references(request, model),
            model.scorer.info.max_references,
        )  # fmt: skip
        if self._rates is not None:
            self._rates.take(call.client, len(videos))
        with_ids = bool(self._results.max_entries or call.idempotency_key or len(videos) > 1)
        resolved = await resolve(request, videos, self._links, call.deadline, with_ids)

        async def compute() -> Response:
            return build(request, await self._score(model, resolved, call, on_item))

        if call.idempotency_key is None:
            return await compute()
        digest = resolved.digest()
        while True:
            try:
                return await self._idempotency.run(call.client, call.idempotency_key, digest, compute)
            except DeadlineExceeded:
                if call.remaining_s <= 0:
                    raise  # otherwise it was the deadline of an earlier call, which this one had joined

    async def _score(
        self, model: ServedModel, resolved: ResolvedRequest, call: Call, on_item: OnItem | None
    ) -> ScoredVideos:
        self._check_loaded()
        attributes: dict[str, str | int] = {"model": model.name, "videos": len(resolved.videos)}
        with self._tracer.request(resolved.verb, call, attributes) as trace:
            clock = StageClock(self.metrics, model.name, trace)
            results = await self._pipeline.run(model, resolved, call, clock, on_item)
        for result in results:
            self.metrics.item(model.name, result)
        return ScoredVideos(call, model, results, clock.timing())

    def _num_references(self, request: RequestBase, model: ServedModel) -> int:
        if not isinstance(request.references, str):
            return len(request.references)
        stored = self._references.find((request.references, model.image_rule))
        return 0 if stored is None else len(stored.images)

    def _check_loaded(self) -> None:
        if not len(self._models):
            raise NotReady("the models are not loaded", retry_after_s=5)

    def _check_ready(self) -> None:
        self._check_loaded()
        if self._draining:
            raise stopping_error()

    def _lose_device(self, reason: str) -> None:
        self._draining = True
        self._on_lost(reason)
