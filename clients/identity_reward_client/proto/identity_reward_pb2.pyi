from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Pixels(_message.Message):
    __slots__ = ("shape", "data", "dtype")
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    shape: _containers.RepeatedScalarFieldContainer[int]
    data: bytes
    dtype: str
    def __init__(self, shape: _Optional[_Iterable[int]] = ..., data: _Optional[bytes] = ..., dtype: _Optional[str] = ...) -> None: ...

class Image(_message.Message):
    __slots__ = ("data", "pixels", "url", "path")
    DATA_FIELD_NUMBER: _ClassVar[int]
    PIXELS_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    pixels: Pixels
    url: str
    path: str
    def __init__(self, data: _Optional[bytes] = ..., pixels: _Optional[_Union[Pixels, _Mapping]] = ..., url: _Optional[str] = ..., path: _Optional[str] = ...) -> None: ...

class Pictures(_message.Message):
    __slots__ = ("images",)
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedCompositeFieldContainer[Image]
    def __init__(self, images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ...) -> None: ...

class Video(_message.Message):
    __slots__ = ("data", "frames", "images", "url", "path", "id", "fps", "fps_compat", "num_source_frames", "frame_indices")
    DATA_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    FPS_FIELD_NUMBER: _ClassVar[int]
    FPS_COMPAT_FIELD_NUMBER: _ClassVar[int]
    NUM_SOURCE_FRAMES_FIELD_NUMBER: _ClassVar[int]
    FRAME_INDICES_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    frames: Pixels
    images: Pictures
    url: str
    path: str
    id: str
    fps: float
    fps_compat: bool
    num_source_frames: int
    frame_indices: Indices
    def __init__(self, data: _Optional[bytes] = ..., frames: _Optional[_Union[Pixels, _Mapping]] = ..., images: _Optional[_Union[Pictures, _Mapping]] = ..., url: _Optional[str] = ..., path: _Optional[str] = ..., id: _Optional[str] = ..., fps: _Optional[float] = ..., fps_compat: _Optional[bool] = ..., num_source_frames: _Optional[int] = ..., frame_indices: _Optional[_Union[Indices, _Mapping]] = ...) -> None: ...

class Indices(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, values: _Optional[_Iterable[int]] = ...) -> None: ...

class ReferenceSet(_message.Message):
    __slots__ = ("images",)
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    images: _containers.RepeatedCompositeFieldContainer[Image]
    def __init__(self, images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ...) -> None: ...

class ReferenceSetResponse(_message.Message):
    __slots__ = ("id", "num_references")
    ID_FIELD_NUMBER: _ClassVar[int]
    NUM_REFERENCES_FIELD_NUMBER: _ClassVar[int]
    id: str
    num_references: int
    def __init__(self, id: _Optional[str] = ..., num_references: _Optional[int] = ...) -> None: ...

class ScoreRequest(_message.Message):
    __slots__ = ("pictures", "reference_set_id", "prompt", "model", "details", "video")
    PICTURES_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_SET_ID_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    VIDEO_FIELD_NUMBER: _ClassVar[int]
    pictures: Pictures
    reference_set_id: str
    prompt: str
    model: str
    details: bool
    video: Video
    def __init__(self, pictures: _Optional[_Union[Pictures, _Mapping]] = ..., reference_set_id: _Optional[str] = ..., prompt: _Optional[str] = ..., model: _Optional[str] = ..., details: _Optional[bool] = ..., video: _Optional[_Union[Video, _Mapping]] = ...) -> None: ...

class CompareRequest(_message.Message):
    __slots__ = ("pictures", "reference_set_id", "prompt", "model", "details", "video_a", "video_b", "theta")
    PICTURES_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_SET_ID_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    VIDEO_A_FIELD_NUMBER: _ClassVar[int]
    VIDEO_B_FIELD_NUMBER: _ClassVar[int]
    THETA_FIELD_NUMBER: _ClassVar[int]
    pictures: Pictures
    reference_set_id: str
    prompt: str
    model: str
    details: bool
    video_a: Video
    video_b: Video
    theta: float
    def __init__(self, pictures: _Optional[_Union[Pictures, _Mapping]] = ..., reference_set_id: _Optional[str] = ..., prompt: _Optional[str] = ..., model: _Optional[str] = ..., details: _Optional[bool] = ..., video_a: _Optional[_Union[Video, _Mapping]] = ..., video_b: _Optional[_Union[Video, _Mapping]] = ..., theta: _Optional[float] = ...) -> None: ...

class GroupRequest(_message.Message):
    __slots__ = ("pictures", "reference_set_id", "prompt", "model", "details", "videos", "matrices", "theta")
    PICTURES_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_SET_ID_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    DETAILS_FIELD_NUMBER: _ClassVar[int]
    VIDEOS_FIELD_NUMBER: _ClassVar[int]
    MATRICES_FIELD_NUMBER: _ClassVar[int]
    THETA_FIELD_NUMBER: _ClassVar[int]
    pictures: Pictures
    reference_set_id: str
    prompt: str
    model: str
    details: bool
    videos: _containers.RepeatedCompositeFieldContainer[Video]
    matrices: bool
    theta: float
    def __init__(self, pictures: _Optional[_Union[Pictures, _Mapping]] = ..., reference_set_id: _Optional[str] = ..., prompt: _Optional[str] = ..., model: _Optional[str] = ..., details: _Optional[bool] = ..., videos: _Optional[_Iterable[_Union[Video, _Mapping]]] = ..., matrices: _Optional[bool] = ..., theta: _Optional[float] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ("data",)
    DATA_FIELD_NUMBER: _ClassVar[int]
    data: bytes
    def __init__(self, data: _Optional[bytes] = ...) -> None: ...

class ListModelsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ErrorBody(_message.Message):
    __slots__ = ("code", "message", "retryable", "details_json")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    DETAILS_JSON_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    retryable: bool
    details_json: str
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., retryable: _Optional[bool] = ..., details_json: _Optional[str] = ...) -> None: ...

class ModelStamp(_message.Message):
    __slots__ = ("name", "version", "fingerprint", "domain", "frame_sampling", "prompt_used")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    FRAME_SAMPLING_FIELD_NUMBER: _ClassVar[int]
    PROMPT_USED_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    fingerprint: str
    domain: str
    frame_sampling: str
    prompt_used: bool
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., fingerprint: _Optional[str] = ..., domain: _Optional[str] = ..., frame_sampling: _Optional[str] = ..., prompt_used: _Optional[bool] = ...) -> None: ...

class Timing(_message.Message):
    __slots__ = ("queue_ms", "decode_ms", "preprocess_ms", "forward_ms", "total_ms")
    QUEUE_MS_FIELD_NUMBER: _ClassVar[int]
    DECODE_MS_FIELD_NUMBER: _ClassVar[int]
    PREPROCESS_MS_FIELD_NUMBER: _ClassVar[int]
    FORWARD_MS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_MS_FIELD_NUMBER: _ClassVar[int]
    queue_ms: float
    decode_ms: float
    preprocess_ms: float
    forward_ms: float
    total_ms: float
    def __init__(self, queue_ms: _Optional[float] = ..., decode_ms: _Optional[float] = ..., preprocess_ms: _Optional[float] = ..., forward_ms: _Optional[float] = ..., total_ms: _Optional[float] = ...) -> None: ...

class ScoreWarning(_message.Message):
    __slots__ = ("code", "message", "reference_index")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_INDEX_FIELD_NUMBER: _ClassVar[int]
    code: str
    message: str
    reference_index: int
    def __init__(self, code: _Optional[str] = ..., message: _Optional[str] = ..., reference_index: _Optional[int] = ...) -> None: ...

class Scored(_message.Message):
    __slots__ = ("reward", "fps", "num_source_frames", "frame_indices", "details_json", "video_id", "warnings", "spread")
    REWARD_FIELD_NUMBER: _ClassVar[int]
    FPS_FIELD_NUMBER: _ClassVar[int]
    NUM_SOURCE_FRAMES_FIELD_NUMBER: _ClassVar[int]
    FRAME_INDICES_FIELD_NUMBER: _ClassVar[int]
    DETAILS_JSON_FIELD_NUMBER: _ClassVar[int]
    VIDEO_ID_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    SPREAD_FIELD_NUMBER: _ClassVar[int]
    reward: float
    fps: float
    num_source_frames: int
    frame_indices: _containers.RepeatedScalarFieldContainer[int]
    details_json: str
    video_id: str
    warnings: _containers.RepeatedCompositeFieldContainer[ScoreWarning]
    spread: float
    def __init__(self, reward: _Optional[float] = ..., fps: _Optional[float] = ..., num_source_frames: _Optional[int] = ..., frame_indices: _Optional[_Iterable[int]] = ..., details_json: _Optional[str] = ..., video_id: _Optional[str] = ..., warnings: _Optional[_Iterable[_Union[ScoreWarning, _Mapping]]] = ..., spread: _Optional[float] = ...) -> None: ...

class Item(_message.Message):
    __slots__ = ("index", "scored", "error")
    INDEX_FIELD_NUMBER: _ClassVar[int]
    SCORED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    index: int
    scored: Scored
    error: ErrorBody
    def __init__(self, index: _Optional[int] = ..., scored: _Optional[_Union[Scored, _Mapping]] = ..., error: _Optional[_Union[ErrorBody, _Mapping]] = ...) -> None: ...

class ScoreResponse(_message.Message):
    __slots__ = ("reward", "fps", "num_source_frames", "frame_indices", "details_json", "request_id", "model", "timing", "video_id", "warnings", "spread")
    REWARD_FIELD_NUMBER: _ClassVar[int]
    FPS_FIELD_NUMBER: _ClassVar[int]
    NUM_SOURCE_FRAMES_FIELD_NUMBER: _ClassVar[int]
    FRAME_INDICES_FIELD_NUMBER: _ClassVar[int]
    DETAILS_JSON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    VIDEO_ID_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    SPREAD_FIELD_NUMBER: _ClassVar[int]
    reward: float
    fps: float
    num_source_frames: int
    frame_indices: _containers.RepeatedScalarFieldContainer[int]
    details_json: str
    request_id: str
    model: ModelStamp
    timing: Timing
    video_id: str
    warnings: _containers.RepeatedCompositeFieldContainer[ScoreWarning]
    spread: float
    def __init__(self, reward: _Optional[float] = ..., fps: _Optional[float] = ..., num_source_frames: _Optional[int] = ..., frame_indices: _Optional[_Iterable[int]] = ..., details_json: _Optional[str] = ..., request_id: _Optional[str] = ..., model: _Optional[_Union[ModelStamp, _Mapping]] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ..., video_id: _Optional[str] = ..., warnings: _Optional[_Iterable[_Union[ScoreWarning, _Mapping]]] = ..., spread: _Optional[float] = ...) -> None: ...

class CompareResponse(_message.Message):
    __slots__ = ("request_id", "model", "a", "b", "theta", "p_a_wins", "p_tie", "p_b_wins", "verdict", "timing")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    A_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    THETA_FIELD_NUMBER: _ClassVar[int]
    P_A_WINS_FIELD_NUMBER: _ClassVar[int]
    P_TIE_FIELD_NUMBER: _ClassVar[int]
    P_B_WINS_FIELD_NUMBER: _ClassVar[int]
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    model: ModelStamp
    a: Scored
    b: Scored
    theta: float
    p_a_wins: float
    p_tie: float
    p_b_wins: float
    verdict: str
    timing: Timing
    def __init__(self, request_id: _Optional[str] = ..., model: _Optional[_Union[ModelStamp, _Mapping]] = ..., a: _Optional[_Union[Scored, _Mapping]] = ..., b: _Optional[_Union[Scored, _Mapping]] = ..., theta: _Optional[float] = ..., p_a_wins: _Optional[float] = ..., p_tie: _Optional[float] = ..., p_b_wins: _Optional[float] = ..., verdict: _Optional[str] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ...) -> None: ...

class GroupEvent(_message.Message):
    __slots__ = ("item", "group")
    ITEM_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    item: Item
    group: GroupResponse
    def __init__(self, item: _Optional[_Union[Item, _Mapping]] = ..., group: _Optional[_Union[GroupResponse, _Mapping]] = ...) -> None: ...

class GroupResponse(_message.Message):
    __slots__ = ("request_id", "model", "items", "theta", "win", "tie", "timing")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    THETA_FIELD_NUMBER: _ClassVar[int]
    WIN_FIELD_NUMBER: _ClassVar[int]
    TIE_FIELD_NUMBER: _ClassVar[int]
    TIMING_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    model: ModelStamp
    items: _containers.RepeatedCompositeFieldContainer[Item]
    theta: float
    win: Matrix
    tie: Matrix
    timing: Timing
    def __init__(self, request_id: _Optional[str] = ..., model: _Optional[_Union[ModelStamp, _Mapping]] = ..., items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., theta: _Optional[float] = ..., win: _Optional[_Union[Matrix, _Mapping]] = ..., tie: _Optional[_Union[Matrix, _Mapping]] = ..., timing: _Optional[_Union[Timing, _Mapping]] = ...) -> None: ...

class Matrix(_message.Message):
    __slots__ = ("rows",)
    ROWS_FIELD_NUMBER: _ClassVar[int]
    rows: _containers.RepeatedCompositeFieldContainer[Row]
    def __init__(self, rows: _Optional[_Iterable[_Union[Row, _Mapping]]] = ...) -> None: ...

class Row(_message.Message):
    __slots__ = ("cells",)
    CELLS_FIELD_NUMBER: _ClassVar[int]
    cells: _containers.RepeatedCompositeFieldContainer[Cell]
    def __init__(self, cells: _Optional[_Iterable[_Union[Cell, _Mapping]]] = ...) -> None: ...

class Cell(_message.Message):
    __slots__ = ("p",)
    P_FIELD_NUMBER: _ClassVar[int]
    p: float
    def __init__(self, p: _Optional[float] = ...) -> None: ...

class PixelRule(_message.Message):
    __slots__ = ("min_pixels", "max_pixels", "resize", "clamp_thin")
    MIN_PIXELS_FIELD_NUMBER: _ClassVar[int]
    MAX_PIXELS_FIELD_NUMBER: _ClassVar[int]
    RESIZE_FIELD_NUMBER: _ClassVar[int]
    CLAMP_THIN_FIELD_NUMBER: _ClassVar[int]
    min_pixels: int
    max_pixels: int
    resize: str
    clamp_thin: bool
    def __init__(self, min_pixels: _Optional[int] = ..., max_pixels: _Optional[int] = ..., resize: _Optional[str] = ..., clamp_thin: _Optional[bool] = ...) -> None: ...

class FrameSampling(_message.Message):
    __slots__ = ("name", "num_frames", "fps", "min_frames", "max_frames", "frame_factor", "frame_pixels", "reference_pixels", "compat_fps", "reference_files")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NUM_FRAMES_FIELD_NUMBER: _ClassVar[int]
    FPS_FIELD_NUMBER: _ClassVar[int]
    MIN_FRAMES_FIELD_NUMBER: _ClassVar[int]
    MAX_FRAMES_FIELD_NUMBER: _ClassVar[int]
    FRAME_FACTOR_FIELD_NUMBER: _ClassVar[int]
    FRAME_PIXELS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_PIXELS_FIELD_NUMBER: _ClassVar[int]
    COMPAT_FPS_FIELD_NUMBER: _ClassVar[int]
    REFERENCE_FILES_FIELD_NUMBER: _ClassVar[int]
    name: str
    num_frames: int
    fps: float
    min_frames: int
    max_frames: int
    frame_factor: int
    frame_pixels: PixelRule
    reference_pixels: PixelRule
    compat_fps: float
    reference_files: str
    def __init__(self, name: _Optional[str] = ..., num_frames: _Optional[int] = ..., fps: _Optional[float] = ..., min_frames: _Optional[int] = ..., max_frames: _Optional[int] = ..., frame_factor: _Optional[int] = ..., frame_pixels: _Optional[_Union[PixelRule, _Mapping]] = ..., reference_pixels: _Optional[_Union[PixelRule, _Mapping]] = ..., compat_fps: _Optional[float] = ..., reference_files: _Optional[str] = ...) -> None: ...

class ModelInfo(_message.Message):
    __slots__ = ("name", "version", "fingerprint", "domain", "description", "default", "meaningful", "prompt_used", "max_references", "frame_sampling", "preference_scale", "num_parameters", "dtype", "device")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    DOMAIN_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_FIELD_NUMBER: _ClassVar[int]
    MEANINGFUL_FIELD_NUMBER: _ClassVar[int]
    PROMPT_USED_FIELD_NUMBER: _ClassVar[int]
    MAX_REFERENCES_FIELD_NUMBER: _ClassVar[int]
    FRAME_SAMPLING_FIELD_NUMBER: _ClassVar[int]
    PREFERENCE_SCALE_FIELD_NUMBER: _ClassVar[int]
    NUM_PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    DEVICE_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    fingerprint: str
    domain: str
    description: str
    default: bool
    meaningful: bool
    prompt_used: bool
    max_references: int
    frame_sampling: FrameSampling
    preference_scale: float
    num_parameters: int
    dtype: str
    device: str
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., fingerprint: _Optional[str] = ..., domain: _Optional[str] = ..., description: _Optional[str] = ..., default: _Optional[bool] = ..., meaningful: _Optional[bool] = ..., prompt_used: _Optional[bool] = ..., max_references: _Optional[int] = ..., frame_sampling: _Optional[_Union[FrameSampling, _Mapping]] = ..., preference_scale: _Optional[float] = ..., num_parameters: _Optional[int] = ..., dtype: _Optional[str] = ..., device: _Optional[str] = ...) -> None: ...

class ModelList(_message.Message):
    __slots__ = ("api_version", "models")
    API_VERSION_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    api_version: str
    models: _containers.RepeatedCompositeFieldContainer[ModelInfo]
    def __init__(self, api_version: _Optional[str] = ..., models: _Optional[_Iterable[_Union[ModelInfo, _Mapping]]] = ...) -> None: ...
