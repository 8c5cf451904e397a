"""Groups of settings, by the part of the server that reads them.

The environment variable of a field is its group's prefix followed by its name in capitals.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from .url_rules import HostRule, parse_network

PREFIX = "IDENTITY_REWARD_"


def _split(value: Any) -> Any:
    return tuple(name.strip() for name in value.split(",") if name.strip()) if isinstance(value, str) else value


# comma-separated in the environment
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class SettingsGroup(BaseSettings):
    """Base of the groups: immutable, and unknown fields are errors."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    @classmethod
    def read(cls) -> Self:
        """The environment's values over the defaults."""
        return cls.model_validate({})


class InferenceSettings(SettingsGroup):
    """Models, the device that runs them and the memory that they may take there."""

    models: Names = Field(
        ("face-tracks", "compact"),
        min_length=1,
        description="models to serve, comma-separated: names, folders, .onnx files",
    )
    default_model: str | None = Field(None, description="model of requests that name none; unset: the first of MODELS")
    device: str = Field(
        "cpu",
        pattern=r"^(cpu|cuda(:\d+)?)$",
        description="device of the models: cpu, cuda or cuda:N; faces need onnxruntime-gpu there, else the CPU is used",
    )
    dtype: Literal["float32", "bfloat16"] | None = Field(
        None, description="data type in which a model folder computes; unset: bfloat16 on CUDA, float32 on a CPU"
    )
    deterministic: bool = Field(
        False, description="on CUDA, give a video the same bits in any batch, at some cost in speed"
    )
    max_batch_memory_bytes: int | None = Field(
        None, gt=0, description="device memory of one forward pass, in bytes; unset: no limit of its own"
    )
    feature_cache_bytes: int = Field(
        256 << 20, ge=0, description="cache of vision features of reference images, in bytes"
    )
    prefix_cache_bytes: int = Field(
        1 << 30, ge=0, description="device cache of the references' attention keys and values, in bytes"
    )
    prefix_host_cache_bytes: int = Field(
        0, ge=0, description="host memory that takes entries evicted from the prefix cache, in bytes"
    )

    @model_validator(mode="after")
    def _consistent(self) -> InferenceSettings:
        if self.default_model is not None and self.default_model not in self.models:
            raise ValueError(
                f"default_model {self.default_model!r} is not among the served models {', '.join(self.models)}"
            )
        if len(set(self.models)) != len(self.models):
            raise ValueError(f"models names one of {', '.join(self.models)} twice")
        return self

    @property
    def default(self) -> str:
        """The model of requests that name none."""
        return self.default_model or self.models[0]


class SchedulingSettings(SettingsGroup):
    """How much work is accepted, how fast a client may send it, and how much one forward pass takes."""

    max_batch_tokens: int = Field(
        16_384, gt=0, description="tokens of one forward pass; a larger group is scored in parts"
    )
    max_waiting_tokens: int = Field(
        1 << 20, gt=0, description="tokens of accepted, unanswered work of one model; over it 503"
    )
    max_waiting_bytes: int = Field(2 << 30, gt=0, description="bodies of unanswered requests, in bytes; over it 503")
    client_videos_per_s: float | None = Field(
        None, gt=0, description="videos per second of one client; over it 429; unset: no limit"
    )
    client_burst_videos: int = Field(256, gt=0, description="videos that one client may send at once")


class RequestSettings(SettingsGroup):
    """Limits of one request, and results that are kept for repeated ones."""

    max_body_bytes: int = Field(
        256 << 20, gt=0, description="request body, in bytes; over it 413, before the body is read"
    )
    max_references: int = Field(8, gt=0, description="reference images of a request; a model may allow fewer")
    max_group_videos: int = Field(64, gt=0, description="videos of one group")
    max_prompt_chars: int = Field(4096, gt=0, description="characters of a prompt")
    request_timeout_s: float = Field(
        120.0, gt=0, description="seconds from the first byte of a request to its response; then 504"
    )
    result_cache_entries: int = Field(
        65_536, ge=0, description="rewards kept by content, for videos that are sent again; 0: none"
    )
    idempotency_lifetime_s: float = Field(
        600.0, gt=0, description="seconds for which the response to an Idempotency-Key is repeated"
    )


class MediaSettings(SettingsGroup):
    """Limits of images and videos, and how they are decoded."""

    max_image_pixels: int = Field(50_000_000, gt=0, description="width x height of an image, from its header")
    max_frame_pixels: int = Field(4096 * 2304, gt=0, description="width x height of a video's frames")
    max_source_frames: int = Field(
        20_000, gt=0, description="frames of a video file, or of the source that a sender sampled from"
    )
    max_sent_frames: int = Field(1024, gt=0, description="frames or images of one video in a request")
    max_duration_s: float = Field(600.0, gt=0, description="length of a video, in seconds")
    max_decoded_bytes: int = Field(1 << 30, gt=0, description="decoded frames of one video, in bytes")
    max_reference_store_bytes: int = Field(
        512 << 20, ge=0, description="decoded reference sets that are kept for use by id, in bytes"
    )
    decode_threads: int = Field(
        default_factory=lambda: max(2, min(8, os.cpu_count() or 2)),
        gt=0,
        description="threads that decode media and prepare samples",
    )
    decode_workers: int = Field(
        2, ge=0, description="processes that decode files; 0: the server's own threads do, for trusted files only"
    )
    decode_timeout_s: float = Field(60.0, gt=0, description="seconds in which one file must be decoded")
    max_decoder_bytes: int = Field(4 << 30, ge=512 << 20, description="address space of a decode worker, in bytes")
    video_decoder: Literal["pyav", "decord"] = Field("pyav", description="library that decodes videos: pyav or decord")
    path_roots: Names = Field(
        (), description="folders of the server from which media may be read by path, comma-separated; unset: none"
    )

    @field_validator("path_roots")
    @classmethod
    def _roots(cls, roots: tuple[str, ...]) -> tuple[str, ...]:
        for root in roots:
            if not Path(root).is_absolute() or ".." in Path(root).parts or not Path(root).is_dir():
                raise ValueError(f"{root!r} is not an absolute path of a folder")
        return roots


class UrlSettings(SettingsGroup):
    """From which hosts and networks media may be fetched; from none by default."""

    model_config = SettingsConfigDict(env_prefix=f"{PREFIX}URL_")

    hosts: Names = Field(
        (), description="hosts from which media may be fetched, comma-separated: name, *.domain, name:port; unset: none"
    )
    allow_http: bool = Field(False, description="fetch by plain http too; otherwise by https only")
    private_networks: Names = Field(
        (),
        description="networks such as 10.20.0.0/16 in which these hosts may lie, comma-separated; "
        "otherwise their addresses must be public",
    )
    timeout_s: float = Field(30.0, gt=0, description="seconds to fetch one file, its redirects included")

    @field_validator("hosts")
    @classmethod
    def _hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            HostRule.parse(host)
        return hosts

    @field_validator("private_networks")
    @classmethod
    def _networks(cls, networks: tuple[str, ...]) -> tuple[str, ...]:
        for network in networks:
            parse_network(network)
        return networks


class JobSettings(SettingsGroup):
    """Where bulk jobs are stored, and how many items, bytes and seconds they may take."""

    jobs_path: Path | None = Field(
        None, description="database file of bulk jobs, created when missing; unset: this server takes no jobs"
    )
    max_job_items: int = Field(100_000, gt=0, description="items of one job")
    max_jobs_bytes: int = Field(16 << 30, gt=0, description="disk space of all jobs, in bytes; over it 503")
    max_running_job_items: int = Field(8, gt=0, description="items of jobs that are scored at once")
    job_lifetime_s: float = Field(
        7 * 86_400.0, gt=0, description="seconds for which a finished job and its results are kept"
    )


class GrpcSettings(SettingsGroup):
    """Where gRPC listens, how many calls it takes at once, and its TLS."""

    model_config = SettingsConfigDict(env_prefix=f"{PREFIX}GRPC_")

    port: int | None = Field(None, ge=0, le=65535, description="port of gRPC, 0 for a free one; unset: no gRPC")
    host: str = Field("127.0.0.1", description="address of gRPC; `identity-reward serve` sets it to the one of HTTP")
    max_calls: int = Field(1024, gt=0, description="concurrent gRPC calls; over it RESOURCE_EXHAUSTED")
    keepalive_s: float = Field(30.0, ge=1, description="seconds of silence after which a gRPC connection is probed")
    tls_cert: Path | None = Field(None, description="PEM certificate chain of gRPC; unset: plain text")
    tls_key: Path | None = Field(None, description="unencrypted PEM key of that certificate")
    tls_client_ca: Path | None = Field(
        None, description="PEM certificates of the authority that must have signed gRPC callers' certificates"
    )

    @model_validator(mode="after")
    def _consistent(self) -> GrpcSettings:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("grpc_tls_cert and grpc_tls_key go together; only one was given")
        if self.tls_client_ca is not None and self.tls_cert is None:
            raise ValueError("grpc_tls_client_ca needs grpc_tls_cert and grpc_tls_key")
        return self


class AuthSettings(SettingsGroup):
    """Who may call the server: callers with a bearer token, or all callers."""

    tokens_path: Annotated[Path, AfterValidator(Path.absolute)] | None = Field(
        None, description="file of bearer tokens, which `identity-reward token` writes; unset: no tokens are required"
    )
    open_probes: bool = Field(False, description="answer liveness and readiness probes without a token")
    allow_anonymous: bool = Field(False, description="listen beyond this machine's loopback without tokens")


class OperationsSettings(SettingsGroup):
    """What the server logs and traces, and how it stops."""

    drain_timeout_s: float = Field(
        30.0, ge=0, description="seconds that running requests have to finish when the server stops"
    )
    access_log: bool = Field(False, description="log a line for every request")
    log_format: Literal["text", "json"] = Field("text", description="format of log lines: text or json")
    otlp_endpoint: str | None = Field(
        None, pattern=r"^https?://", description="OTLP/HTTP endpoint of OpenTelemetry spans; unset: no tracing"
    )
    trace_sample_ratio: float = Field(
        1.0, ge=0, le=1, description="fraction of requests that are traced, unless the caller's traceparent decides"
    )
    status_path: Path | None = Field(
        None, description="file in which the server reports to `identity-reward serve` that it is ready or has failed"
    )
