"""Messages of the API: JSON, safetensors metadata and, through `proto.codec`, protobuf.

In Python a binary field holds bytes or another buffer; in JSON it is a base64 string.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .fields.bases import Message, ResponseMessage
from .fields.buffers import Buffer
from .fields.fps import Fps
from .fields.warnings import ScoreWarning
from .frame_sampling import FrameSampling
from .preference import THETA, Preference

API_VERSION: Literal["v1"] = "v1"
# former name, importable until version 0.2
Answer = ResponseMessage

# id of a reference set or of a video: "sha256:" and 64 hex digits, see wire/content_ids.py
ContentId = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class Pixels(Message):
    """RGB pixels, uint8, C order: [H, W, 3] for an image, [T, H, W, 3] for frames."""

    shape: list[int] = Field(min_length=3, max_length=4)
    data: Buffer = Field(repr=False)

    @model_validator(mode="after")
    def _check_size(self) -> Pixels:
        if any(n < 1 for n in self.shape) or self.shape[-1] != 3:
            raise ValueError(f"shape must be [H, W, 3] or [T, H, W, 3] with positive sizes, got {self.shape}")
        expected, size = math.prod(self.shape), memoryview(self.data).nbytes
        if size != expected:
            raise ValueError(f"shape {self.shape} needs {expected} bytes of uint8, got {size}")
        return self


def _check_exactly_one(message: BaseModel, *names: str) -> None:
    present = [name for name in names if getattr(message, name) is not None]
    if len(present) != 1:
        raise ValueError(f"needs exactly one of {', '.join(names)}; got {', '.join(present) or 'none'}")


class Image(Message):
    """An image: the bytes of a file (JPEG, PNG, WebP, ...) or raw pixels. `url` and `path` only if the server allows
    them."""

    data: Buffer | None = Field(default=None, repr=False)
    pixels: Pixels | None = None
    url: str | None = None
    path: str | None = None

    @model_validator(mode="after")
    def _check_content(self) -> Image:
        _check_exactly_one(self, "data", "pixels", "url", "path")
        if self.pixels is not None and len(self.pixels.shape) != 3:
            raise ValueError(f"an image's pixels are [H, W, 3], got shape {self.pixels.shape}")
        return self


class Video(Message):
    """A video: the bytes of a file, raw frames, images in order, or the `id` of a video that was scored before.

    `fps` (frames per second of the source) is required for frames and images, and overrides the rate that a file
    states; "compat" means the `compat_fps` of the model's frame sampling.
    A sender that samples frames states their source: `num_source_frames` and `frame_indices`. The server decodes this
    message to a `reward_model.types.Video`.
    """

    data: Buffer | None = Field(default=None, repr=False)
    frames: Pixels | None = None
    images: list[Image] | None = None
    url: str | None = None
    path: str | None = None
    id: ContentId | None = Field(
        default=None,
        description="`video_id` of an earlier answer: the reward is taken from the result cache, or it is a 404",
    )
    fps: Fps | None = Field(
        default=None, description='frames per second of the source, or "compat": the rate that the model assumes'
    )
    num_source_frames: int | None = None
    frame_indices: list[int] | None = None

    @model_validator(mode="after")
    def _check_content(self) -> Video:
        _check_exactly_one(self, "data", "frames", "images", "url", "path", "id")
        if self.frames is not None and len(self.frames.shape) != 4:
            raise ValueError(f"frames are [T, H, W, 3], got shape {self.frames.shape}")
        if (self.num_source_frames is None) != (self.frame_indices is None):
            raise ValueError("num_source_frames and frame_indices go together; only one was given")
        if self.frame_indices is not None and self.frames is None and self.images is None:
            raise ValueError("frame_indices belong to frames or images; a video file is sent whole")
        return self


References = Annotated[list[Image], Field(min_length=1)] | ContentId


class ReferenceSet(Message):
    """One image per person, in the order in which the prompt names them.

    The server decodes this message to a `reward_model.types.ReferenceSet`.
    """

    images: list[Image] = Field(min_length=1)


class ReferenceSetResponse(Message):
    """The id that replaces the images of a stored reference set in later requests."""

    id: ContentId
    num_references: int


class RequestBase(Message):
    """Fields that all scoring requests have."""

    references: References = Field(
        description="an image of each person, in the order in which the prompt names them, or a stored set's id"
    )
    prompt: str | None = Field(
        default=None, description="the prompt that the videos were generated from; models may ignore it"
    )
    model: str | None = Field(default=None, description="name of a served model; the server's default when absent")
    details: bool = Field(default=False, description="also explain the reward, per person and per frame")


Theta = Annotated[
    float, Field(gt=1, allow_inf_nan=False, description="tie parameter, above 1: the larger, the likelier is a tie")
]


class ScoreRequest(RequestBase):
    """One video to score."""

    video: Video


class CompareRequest(RequestBase):
    """Two videos to compare."""

    video_a: Video
    video_b: Video
    theta: Theta = THETA


class GroupRequest(RequestBase):
    """Videos of one reference set and prompt to score together."""

    videos: list[Video] = Field(min_length=1, description="generated from the same references and prompt")
    matrices: bool = Field(default=False, description="also return the G x G win and tie probabilities")
    theta: Theta = THETA


class ErrorBody(Message):
    """An error of `errors.py` as JSON; its `code` names the class."""

    model_config = ConfigDict(extra="ignore")

    code: str
    message: str
    retryable: bool = False
    details: dict[str, Any] = Field(default={})


class ErrorResponse(Message):
    """The body of every response that is an error."""

    model_config = ConfigDict(extra="ignore")

    error: ErrorBody


class ModelStamp(ResponseMessage):
    """The model that computed a response. `fingerprint` is a hash of its weights and preprocessing."""

    name: str
    version: str
    fingerprint: str
    domain: str
    frame_sampling: str
    prompt_used: bool


class Timing(ResponseMessage):
    """Milliseconds of each stage. Stages of concurrent items may add up to more than `total_ms`."""

    queue_ms: float = 0.0
    decode_ms: float = 0.0
    preprocess_ms: float = 0.0
    forward_ms: float = 0.0
    total_ms: float = 0.0


class Scored(ResponseMessage):
    """A scored video. `reward` is the model's raw scalar, of which only differences have a meaning."""

    reward: float
    fps: float
    num_source_frames: int
    frame_indices: list[int]
    # replaces the video in later requests, as long as the result cache has its reward
    video_id: ContentId | None = None
    details: dict[str, Any] | None = None
    warnings: list[ScoreWarning] = Field(
        default=[], description="reasons to doubt the reward, which they do not change"
    )
    spread: float | None = Field(
        default=None,
        description="disagreement of the model's members: the standard deviation of their rewards over the largest "
        "difference that is a tie at theta 5; null for a model without members",
    )


class Item(ResponseMessage):
    """One video of a group: exactly one of `scored` and `error`."""

    index: int
    scored: Scored | None = None
    error: ErrorBody | None = None

    @property
    def reward(self) -> float | None:
        """The reward; None if the item has an error."""
        return None if self.scored is None else self.scored.reward


class ScoreResponse(Scored):
    """The reward of one video."""

    request_id: str
    model: ModelStamp
    timing: Timing


class CompareResponse(ResponseMessage):
    """The rewards of two videos, and the probability of each outcome under Bradley-Terry-with-Ties."""

    request_id: str
    model: ModelStamp
    a: Scored
    b: Scored
    theta: float
    p_a_wins: float
    p_tie: float
    p_b_wins: float
    verdict: Preference
    timing: Timing


class GroupResponse(ResponseMessage):
    """One item per video, in order. `win[i][j]` = P(i beats j), `tie[i][j]` = P(tie); null for items without reward."""

    request_id: str
    model: ModelStamp
    items: list[Item]
    theta: float
    win: list[list[float | None]] | None = None
    tie: list[list[float | None]] | None = None
    timing: Timing


class ModelInfo(ResponseMessage):
    """A model that the server has loaded."""

    name: str
    version: str
    fingerprint: str
    domain: str
    description: str
    default: bool
    # False: random weights, for tests of the integration; the rewards have no meaning
    meaningful: bool
    prompt_used: bool
    max_references: int
    frame_sampling: FrameSampling
    # preference probabilities are computed from preference_scale * (r_A - r_B): 1 for a model trained with that loss
    preference_scale: float
    num_parameters: int
    dtype: str
    device: str


class ModelList(ResponseMessage):
    """The models that the server has loaded."""

    api_version: Literal["v1"] = API_VERSION
    models: list[ModelInfo]
