"""Base classes of messages."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Message(BaseModel):
    """Base of what a client sends: unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="null")


class ResponseMessage(BaseModel):
    """Base of what a server sends: a client ignores unknown fields, so that newer servers can add some."""

    model_config = ConfigDict(extra="ignore", ser_json_inf_nan="null")
