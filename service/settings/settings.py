"""The server's settings: one frozen object, and the only reader of the environment in this package."""

from __future__ import annotations

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from .url_rules import HostRule, parse_network

PREFIX = "IDENTITY_REWARD_"


class SettingsError(ValueError):
    """One line: which setting is wrong, and what would do."""


def _split(value: Any) -> Any:
    return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_split)]


class Settings(BaseModel):
    """Every field is read from `IDENTITY_REWARD_<FIELD>`; its description says what it does."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    models: Names = Field(
        ("face-tracks", "compact"),
        min_length=1,
        description="models to serve, comma-separated: names, folders, .onnx files",
    )
    default_model: str | None = Field(None, description="the model of requests that name none; the first when unset")
    device: str = Field("cpu", pattern=r"^(cpu|cuda(:\d+)?)$", description="where the models run: cpu, cuda or cuda:N")

    dtype: Literal["float32", "bfloat16"] | None = Field(
        None, description="what a folder's model computes in; unset: bfloat16 on CUDA, float32 on a CPU"
    )
    deterministic: bool = Field(False, description="on CUDA, the same bits for a video in any batch, at some speed")
    max_batch_tokens: int = Field(16_384, gt=0, description="tokens of one forward pass; a larger group is split")
    max_batch_memory_bytes: int | None = Field(None, gt=0, description="device memory that one forward pass may take")
    feature_cache_bytes: int = Field(256 << 20, ge=0, description="vision features of reference pictures, kept")
    prefix_cache_bytes: int = Field(1 << 30, ge=0, description="keys and values of references, kept on the device")
    prefix_host_cache_bytes: int = Field(0, ge=0, description="the same, kept on the host when the device has no room")

    max_body_bytes: int = Field(256 << 20, gt=0, description="request body; larger is 413, before it is read")
    max_image_pixels: int = Field(50_000_000, gt=0, description="width x height of a picture, from its header")
    max_frame_pixels: int = Field(4096 * 2304, gt=0, description="width x height of a video's frames")
    max_source_frames: int = Field(20_000, gt=0, description="frames of a video file, or that a sender chose from")
    max_sent_frames: int = Field(1024, gt=0, description="frames or pictures that one video on the wire may carry")
    max_duration_s: float = Field(600.0, gt=0, description="length of a video")
    max_decoded_bytes: int = Field(1 << 30, gt=0, description="decoded frames that one video may take in memory")
    max_references: int = Field(8, gt=0, description="reference pictures of a request; a model may allow fewer")
    max_group_videos: int = Field(64, gt=0, description="videos of one group")
    max_prompt_chars: int = Field(4096, gt=0, description="length of a prompt")
    max_reference_store_bytes: int = Field(512 << 20, ge=0, description="decoded reference sets kept for use by id")

    max_waiting_tokens: int = Field(
        1 << 20, gt=0, description="tokens of work accepted and not yet answered, per model; over it 503"
    )
    max_waiting_bytes: int = Field(2 << 30, gt=0, description="bodies of requests that are being answered; over it 503")
    client_videos_per_s: float | None = Field(None, gt=0, description="videos a second of each client; over it 429")
    client_burst_videos: int = Field(256, gt=0, description="videos that a client may send at once all the same")
    result_cache_entries: int = Field(
        65_536, ge=0, description="rewards kept by content, for videos that are sent again; 0: none"
    )
    idempotency_lifetime_s: float = Field(
        600.0, gt=0, description="how long the answer to an Idempotency-Key is repeated"
    )
    jobs_path: Path | None = Field(
        None, description="file in which bulk jobs are kept, made if it isn't there; unset: this server takes no jobs"
    )
    max_job_items: int = Field(100_000, gt=0, description="items of one job")
    max_jobs_bytes: int = Field(16 << 30, gt=0, description="what all jobs may take on disk; over it 503")
    max_running_job_items: int = Field(8, gt=0, description="items of jobs that are scored at once")
    job_lifetime_s: float = Field(7 * 86_400.0, gt=0, description="how long a finished job and its results are kept")
    decode_threads: int = Field(
        default_factory=lambda: max(2, min(8, os.cpu_count() or 2)), gt=0, description="threads that decode and prepare"
    )
    decode_workers: int = Field(
        2, ge=0, description="processes that decode files; 0: the server's own threads do, for files that you trust"
    )
    decode_timeout_s: float = Field(60.0, gt=0, description="time that one file may take to decode")
    max_decoder_bytes: int = Field(4 << 30, ge=512 << 20, description="address space of a decode worker")
    video_decoder: Literal["pyav", "decord"] = Field("pyav", description="what decodes videos: pyav or decord")
    request_timeout_s: float = Field(120.0, gt=0, description="from the first byte to the answer; then 504")
    drain_timeout_s: float = Field(30.0, ge=0, description="time that running requests have when the server stops")

    grpc_port: int | None = Field(None, ge=0, le=65535, description="port of gRPC, 0 for a free one; unset: no gRPC")
    grpc_host: str = Field("127.0.0.1", description="address of gRPC; `identity-reward serve` sets it to that of HTTP")
    grpc_max_calls: int = Field(1024, gt=0, description="gRPC calls under way at once; over it RESOURCE_EXHAUSTED")
    grpc_keepalive_s: float = Field(30.0, ge=1, description="silence after which a gRPC connection is tested")
    grpc_tls_cert: Path | None = Field(None, description="PEM certificate chain of gRPC; unset: plain text")
    grpc_tls_key: Path | None = Field(None, description="its PEM key, unencrypted")
    grpc_tls_client_ca: Path | None = Field(None, description="PEM certificates; gRPC callers must show one of theirs")

    tokens_path: Annotated[Path, AfterValidator(Path.absolute)] | None = Field(
        None, description="file of bearer tokens, which every call then needs; `identity-reward token` writes it"
    )
    open_probes: bool = Field(False, description="answer liveness and readiness probes without a token")
    allow_anonymous: bool = Field(False, description="listen on more than this machine's loopback without tokens")
    url_hosts: Names = Field(
        (), description="hosts that media may be fetched from: name, *.domain, name:port; comma-separated"
    )
    url_allow_http: bool = Field(False, description="fetch from those hosts by http too; else by https alone")
    url_private_networks: Names = Field(
        (), description="networks such as 10.20.0.0/16 in which those hosts may lie; else they must be public"
    )
    url_timeout_s: float = Field(30.0, gt=0, description="time to fetch one file, its redirects included")
    path_roots: Names = Field((), description="folders of the server from which media may be read by path")

    access_log: bool = Field(False, description="log a line for every request")
    log_format: Literal["text", "json"] = Field("text", description="how log lines are written: text or json")
    otlp_endpoint: str | None = Field(
        None, pattern=r"^https?://", description="where OpenTelemetry spans go, by OTLP over HTTP; unset: nowhere"
    )
    trace_sample_ratio: float = Field(
        1.0, ge=0, le=1, description="part of the requests that are traced, where the caller's traceparent decides not"
    )
    status_path: Path | None = Field(
        None, description="file in which the server tells `identity-reward serve` that it is ready or why it failed"
    )

    @field_validator("url_hosts")
    @classmethod
    def _hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            HostRule.parse(host)
        return hosts

    @field_validator("url_private_networks")
    @classmethod
    def _networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            parse_network(network)
        return networks

    @field_validator("path_roots")
    @classmethod
    def _roots(cls, roots: tuple[str, ...]) -> tuple[str, ...]:
        for root in roots:
            if not Path(root).is_absolute() or ".." in Path(root).parts or not Path(root).is_dir():
                raise ValueError(f"{root!r} is no absolute path of a folder")
        return roots

    @model_validator(mode="after")
    def _consistent(self):
        if self.default_model is not None and self.default_model not in self.models:
            raise ValueError(
                f"default_model {self.default_model!r} is not among the served models {', '.join(self.models)}"
            )
        if len(set(self.models)) != len(self.models):
            raise ValueError(f"models names one of {', '.join(self.models)} twice")
        if (self.grpc_tls_cert is None) != (self.grpc_tls_key is None):
            raise ValueError("grpc_tls_cert and grpc_tls_key go together; only one was given")
        if self.grpc_tls_client_ca is not None and self.grpc_tls_cert is None:
            raise ValueError("grpc_tls_client_ca needs grpc_tls_cert and grpc_tls_key")
        return self

    @property
    def default(self) -> str:
        return self.default_model or self.models[0]

    @classmethod
    def make(cls, **values: Any) -> Settings:
        """Settings with these values over the defaults; a bad one is a SettingsError of one line."""
        try:
            return cls(**values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            reason = first["msg"].removeprefix("Value error, ")
            if not first["loc"]:
                raise SettingsError(reason) from None
            name = str(first["loc"][0])
            raise SettingsError(f"{name} = {str(values.get(name))[:80]!r}: {reason} ({PREFIX}{name.upper()})") from None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None, **values: Any) -> Settings:
        """Settings from `IDENTITY_REWARD_*`, with `values` over them. A misspelt variable is a SettingsError."""
        environment = os.environ if environment is None else environment
        found = {}
        for variable, text in environment.items():
            if not variable.startswith(PREFIX):
                continue
            name = variable.removeprefix(PREFIX).lower()
            if name in cls.model_fields:
                found[name] = text
            elif near := get_close_matches(name, cls.model_fields, 1, cutoff=0.8):
                raise SettingsError(f"{variable} is no setting; did you mean {PREFIX}{near[0].upper()}?")
        return cls.make(**{**found, **values})

    @staticmethod
    def forbid_respawn() -> None:
        """BentoML's supervisor then ends with its worker, as it does in an image, instead of starting it for ever.

        It asks just before it starts the worker, after it has imported the service."""
        os.environ.setdefault("BENTOML_CONTAINERIZED", "1")

    def environment(self) -> dict[str, str]:
        """This process's environment with these settings in it: what a server process is started with."""
        ours = {
            PREFIX + name.upper(): ",".join(value) if isinstance(value, tuple) else str(value)
            for name, value in self.model_dump(exclude_none=True).items()
        }
        others = {
            name: value for name, value in os.environ.items() if name.removeprefix(PREFIX).lower() not in self.names()
        }
        return {**others, **ours}

    @classmethod
    def names(cls) -> frozenset[str]:
        return frozenset(cls.model_fields)
