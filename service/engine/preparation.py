"""Decoding and preprocessing of one request's media for one model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from identity_reward_client.frame_sampling import FrameSampling
from identity_reward_client.messages import RequestBase, Video
from reward_model import types
from reward_model.decoding.media_decoder import MediaDecoder

from ..media.decoding import decode_references, decode_video, measure_video
from ..media.reference_store import ReferenceStore
from ..scheduling.item_result import PreparedItem, SampledVideo
from ..settings.groups import MediaSettings
from .served_model import ServedModel
from .timing import StageClock
from .video_warnings import video_warnings


@dataclass(frozen=True)
class Preparation:
    """Measures, prices, decodes and preprocesses the media of one request. Its methods block, except `references`."""

    model: ServedModel
    request: RequestBase
    limits: MediaSettings
    store: ReferenceStore
    decoder: MediaDecoder
    clock: StageClock

    def references(self) -> tuple[Callable[[], types.ReferenceSet], list[types.Size]]:
        """A function that decodes the references, and their sizes, None for images whose header isn't read yet.

        Raises ReferenceSetNotFound for an id that isn't stored.
        """
        references, rule = self.request.references, self.model.image_rule
        if isinstance(references, str):
            stored = self.store.get((references, rule))
            return lambda: stored, [(image.shape[0], image.shape[1]) for image in stored.images]

        def decode() -> types.ReferenceSet:
            with self.clock.measure("decode"):
                return decode_references(references, self.limits, self.decoder, rule)

        sizes = [
            None if image.pixels is None else (image.pixels.shape[0], image.pixels.shape[1]) for image in references
        ]
        return decode, sizes

    def measure(self, video: Video) -> tuple[int, types.Size]:
        """Number of sampled frames and their size, from headers and a probe; raises what `prepare` would."""
        if video.data is None:
            return measure_video(video, self._sampling, self.limits, self.decoder)
        with self.clock.measure("decode"):
            return measure_video(video, self._sampling, self.limits, self.decoder)

    def price(self, reference_sizes: list[types.Size], num_frames: int, size: types.Size) -> types.Price:
        """Cost of one video in tokens."""
        return self.model.scorer.price(reference_sizes, num_frames, size, self.request.prompt)

    def prepare(self, references: types.ReferenceSet, video: Video, video_id: str | None) -> PreparedItem:
        """Decode and preprocess one video."""
        with self.clock.measure("decode"):
            decoded = decode_video(video, self._sampling, self.limits, self.decoder)
        warnings = video_warnings(video, decoded, self._sampling)
        sampled = SampledVideo(decoded.fps, decoded.num_source_frames, decoded.frame_indices, video_id, warnings)
        with self.clock.measure("preprocess"):
            inputs = self.model.scorer.preprocess(types.Sample(references, decoded, self.request.prompt))
        return PreparedItem(inputs, sampled)

    @property
    def _sampling(self) -> FrameSampling:
        return self.model.scorer.info.frame_sampling
