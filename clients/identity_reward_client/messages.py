"""The wire's vocabulary, once: what travels as JSON, in safetensors metadata and, through a codec, as protobuf.

In Python every binary field holds raw bytes (or a buffer); in JSON it is a base64 string.
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, WithJsonSchema, model_validator

from .fps import Fps
from .frame_sampling import FrameSampling
from .preference import THETA, Preference

API_VERSION: Literal["v1"] = "v1"


def _to_buffer(value: Any) -> bytes | memoryview:
    if isinstance(value, str):
        try:
            return base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"not base64: {error}") from None
    if isinstance(value, bytes | memoryview):
        return value
    if isinstance(value, bytearray):
        return memoryview(value)
    raise ValueError(f"expected base64 text or bytes, got {type(value).__name__}")


Buffer = Annotated[
    Any,
    PlainValidator(_to_buffer),
    PlainSerializer(lambda data: base64.b64encode(data).decode("ascii"), when_used="json"),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]


# of a stored reference set or of a video: "sha256:" and 64 hex digits, see content.py
ContentId = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]


class Message(BaseModel):
    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null")


class Pixels(Message):
    """Raw RGB pixels, uint8, C order: [H, W, 3] for a picture, [T, H, W, 3] for frames."""

    shape: list[int] = Field(min_length=3, max_length=4)
    data: Buffer = Field(repr=False)

    @model_validator(mode="after")
    def _size(self):
        if any(n < 1 for n in self.shape) or self.shape[-1] != 3:
            raise ValueError(f"shape must be [H, W, 3] or [T, H, W, 3] with positive sizes, got {self.shape}")
        wanted = 1
        for n in self.shape:
            wanted *= n
        given = memoryview(self.data).nbytes
        if given != wanted:
            raise ValueError(f"shape {self.shape} needs {wanted} bytes of uint8, got {given}")
        return self


def _exactly_one(message: BaseModel, *names: str):
    given = [name for name in names if getattr(message, name) is not None]
    if len(given) != 1:
        raise ValueError(f"needs exactly one of {', '.join(names)}; got {', '.join(given) or 'none'}")


class Image(Message):
    """A picture: an encoded file's bytes (JPEG, PNG, WebP, ...), or raw pixels. `url` and `path` only where a server
    allows them."""

    data: Buffer | None = Field(default=None, repr=False)
    pixels: Pixels | None = None
    url: str | None = None
    path: str | None = None

    @model_validator(mode="after")
    def _one(self):
        _exactly_one(self, "data", "pixels", "url", "path")
        if self.pixels is not None and len(self.pixels.shape) != 3:
            raise ValueError(f"a picture's pixels are [H, W, 3], got shape {self.pixels.shape}")
        return self


class Video(Message):
    """A clip: a video file's bytes, raw frames, encoded pictures in order, or the `id` of one that was scored before.

    `fps` (frames a second of the source) is required for frames and images, and overrides a file's own where given;
    "compat" stands for the rate that the model's frame sampling names as `compat_fps`.
    A sender who picked frames says of how many (`num_source_frames`) and which (`frame_indices`).
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
        default=None, description='frames a second of the source, or "compat": the rate that the model assumes'
    )
    num_source_frames: int | None = None
    frame_indices: list[int] | None = None

    @model_validator(mode="after")
    def _one(self):
        _exactly_one(self, "data", "frames", "images", "url", "path", "id")
        if self.frames is not None and len(self.frames.shape) != 4:
            raise ValueError(f"frames are [T, H, W, 3], got shape {self.frames.shape}")
        if (self.num_source_frames is None) != (self.frame_indices is None):
            raise ValueError("num_source_frames and frame_indices go together; only one was given")
        if self.frame_indices is not None and self.frames is None and self.images is None:
            raise ValueError("frame_indices belong to frames or images; a video file travels whole")
        return self


References = Annotated[list[Image], Field(min_length=1)] | ContentId


class ReferenceSet(Message):
    """One picture a person, in the order that the prompt names them."""

    images: list[Image] = Field(min_length=1)


class ReferenceSetResponse(Message):
    id: ContentId
    num_references: int


class RequestBase(Message):
    references: References = Field(
        description="a picture of each person, in the order in which the prompt names them, or a stored set's id"
    )
    prompt: str | None = Field(default=None, description="what the videos were made from; models may ignore it")
    model: str | None = Field(default=None, description="name of a served model; the server's default when absent")
    details: bool = Field(default=False, description="also answer what the reward is made of, per person and frame")


Theta = Annotated[
    float, Field(gt=1, allow_inf_nan=False, description="how readily a tie is called: the tie parameter, above 1")
]


class ScoreRequest(RequestBase):
    video: Video


class CompareRequest(RequestBase):
    video_a: Video
    video_b: Video
    theta: Theta = THETA


class GroupRequest(RequestBase):
    videos: list[Video] = Field(min_length=1, description="made from the same references and prompt")
    matrices: bool = Field(default=False, description="also answer the G x G win and tie probabilities")
    theta: Theta = THETA


class ErrorBody(Message):
    model_config = ConfigDict(extra="ignore")

    code: str
    message: str
    retryable: bool = False
    details: dict[str, Any] = {}


class ErrorResponse(Message):
    """The one shape of every error body."""

    model_config = ConfigDict(extra="ignore")

    error: ErrorBody


class Answer(BaseModel):
    """Answers may grow: a client ignores fields that it does not know."""

    model_config = ConfigDict(extra="ignore", ser_json_inf_nan="null")


class ModelStamp(Answer):
    """Which model an answer came from. `fingerprint` covers weights and preprocessing."""

    name: str
    version: str
    fingerprint: str
    domain: str
    frame_sampling: str
    prompt_used: bool


class Timing(Answer):
    """Milliseconds. Stages of items that ran side by side may add up to more than `total_ms`."""

    queue_ms: float = 0.0
    decode_ms: float = 0.0
    preprocess_ms: float = 0.0
    forward_ms: float = 0.0
    total_ms: float = 0.0


class Scored(Answer):
    """`reward` is the model's raw scalar: only differences mean something."""

    reward: float
    fps: float
    num_source_frames: int
    frame_indices: list[int]
    # stands for the video in later requests, while the result cache keeps its reward
    video_id: ContentId | None = None
    details: dict[str, Any] | None = None


class Item(Answer):
    """One video of a group: exactly one of `scored` and `error`."""

    index: int
    scored: Scored | None = None
    error: ErrorBody | None = None

    @property
    def reward(self) -> float | None:
        return None if self.scored is None else self.scored.reward


class ScoreResponse(Scored):
    request_id: str
    model: ModelStamp
    timing: Timing


class CompareResponse(Answer):
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


class GroupResponse(Answer):
    """`win[i][j]` = P(i beats j), `tie[i][j]` = P(tie); null where an item has no reward."""

    request_id: str
    model: ModelStamp
    items: list[Item]
    theta: float
    win: list[list[float | None]] | None = None
    tie: list[list[float | None]] | None = None
    timing: Timing


class ModelInfo(Answer):
    name: str
    version: str
    fingerprint: str
    domain: str
    description: str
    default: bool
    # False: random weights, for wiring and tests; the numbers mean nothing
    meaningful: bool
    prompt_used: bool
    max_references: int
    frame_sampling: FrameSampling
    # BTT probabilities are those of preference_scale * (r_A - r_B): 1 for a model trained with that loss
    preference_scale: float
    num_parameters: int
    dtype: str
    device: str


class ModelList(Answer):
    api_version: Literal["v1"] = API_VERSION
    models: list[ModelInfo]
