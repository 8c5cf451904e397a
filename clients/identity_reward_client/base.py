"""The protocol of every client of the service, and the options that its calls share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Protocol, TypedDict, Unpack, runtime_checkable

from .fields.fps import Fps
from .messages import CompareResponse, GroupResponse, Image, ModelInfo, ScoreResponse, Video

# a path, the bytes of an encoded file, pixels as a numpy array, torch tensor or PIL image, or a wire message
ImageLike = str | PathLike[str] | bytes | Image | Any
VideoLike = str | PathLike[str] | bytes | Video | Any
# reference images in the order in which the prompt names the people, or the id that put_references returned
ReferencesLike = Sequence[ImageLike] | str


class ScoreOptions(TypedDict, total=False):
    """Options of `RewardClient.score`. An option that is absent or None has the server's default."""

    # frames per second, required for arrays and lists of images; overrides the rate that a video file states.
    # "compat": the rate that the model assumes for trainers that write one into every file (FrameSampling.compat_fps)
    fps: Fps | None
    # the prompt that the videos were generated from; models may ignore it
    prompt: str | None
    # name of a served model; the server's default model if absent
    model: str | None
    # the answer also explains the reward, per person and per frame
    details: bool


class CompareOptions(ScoreOptions, total=False):
    """Options of `RewardClient.compare`."""

    # tie parameter of the Bradley-Terry-with-Ties model, above 1; 5 if absent
    theta: float | None


class GroupOptions(CompareOptions, total=False):
    """Options of `RewardClient.score_group`."""

    # the answer also holds the win and tie probabilities of every pair, two [G, G] matrices
    matrices: bool


@runtime_checkable
class RewardClient(Protocol):
    """Scores videos against reference images of the people that they should show.

    Images: a path, the bytes of an image file, uint8 pixels [H, W, 3] or [3, H, W], or a PIL image.
    Videos: a path, the bytes of a video file, uint8 pixels [T, H, W, 3] or [T, 3, H, W], or a list of images.
    Float pixels need their range, see `Frames` and `ImageArray`. Of a clip in memory only the frames that the model
    samples are sent.

    Every failure raises a `RewardError` (`identity_reward_client.errors`); no failure is ever a number.
    """

    async def score(
        self, references: ReferencesLike, video: VideoLike, **options: Unpack[ScoreOptions]
    ) -> ScoreResponse:
        """The reward of one video: a raw scalar of which only differences have a meaning."""
        ...

    async def compare(
        self, references: ReferencesLike, video_a: VideoLike, video_b: VideoLike, **options: Unpack[CompareOptions]
    ) -> CompareResponse:
        """Both rewards with P(A wins), P(tie) and P(B wins)."""
        ...

    async def score_group(
        self, references: ReferencesLike, videos: Sequence[VideoLike], **options: Unpack[GroupOptions]
    ) -> GroupResponse:
        """One item per video, in order. A video that fails has an error in its item, and the others are scored."""
        ...

    async def put_references(self, references: Sequence[ImageLike]) -> str:
        """Store reference images on the server. Returns an id ("sha256:...") to pass as `references` afterwards."""
        ...

    async def models(self) -> list[ModelInfo]:
        """The models that the server has loaded."""
        ...

    async def close(self) -> None:
        """Release connections. A closed client takes no more calls."""
        ...


def request_fields(options: Mapping[str, object], kind: type[ScoreOptions]) -> dict[str, Any]:
    """Fields of a request message from the options of a call: all but `fps`, and none that is None.

    TypeError for an option that `kind` does not have.
    """
    names = kind.__annotations__
    for name in options:
        if name not in names:
            raise TypeError(f"unknown option {name!r}; there are {', '.join(names)}")
    return {name: value for name, value in options.items() if name != "fps" and value is not None}
