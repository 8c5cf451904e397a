"""Messages of bulk jobs. A manifest is JSONL with one `JobItem` per line; results are JSONL of `JobResult`s."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import AwareDatetime, Field

from ..messages import ErrorBody, ResponseMessage, ScoreRequest, ScoreResponse

NDJSON = "application/x-ndjson"
# another content type for the same format
JSONL = "application/jsonl"

JobState = Literal["queued", "running", "done", "cancelled"]
JOB_STATES: tuple[JobState, ...] = get_args(JobState)


class JobItem(ScoreRequest):
    """A line of a manifest: one video to score.

    `references` may be the id of a set whose images are in an earlier line of the manifest: the job stores those. A set
    from `PUT /v1/reference-sets` is available only as long as the server keeps it.
    """

    id: str | None = Field(
        default=None, min_length=1, max_length=200, description="name of the item in its job; its line number if absent"
    )


class JobInfo(ResponseMessage):
    """State of a job. `done` items have a result, `failed` of them an error; `waiting` items have none yet."""

    id: str
    state: JobState
    total: int
    done: int
    failed: int
    waiting: int
    created_at: AwareDatetime
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    items_per_s: float | None = Field(default=None, description="measured over the latest items, while the job runs")
    eta_s: float | None = Field(default=None, description="seconds until it ends, at that rate")
    held_up: ErrorBody | None = Field(
        default=None, description="the error that keeps items waiting at present; they are tried again after it"
    )

    @property
    def finished(self) -> bool:
        """Whether no more results will come."""
        return self.state in ("done", "cancelled")


class JobList(ResponseMessage):
    """A page of jobs, the newest first. `next` is the `after` of the next page, absent on the last one."""

    jobs: list[JobInfo]
    next: str | None = None


class JobResult(ResponseMessage):
    """The result of one item: exactly one of `scored` and `error`.

    `number` counts the results of a job from 1 in the order in which they were computed; it is the `after` with which
    the next page begins.
    """

    number: int
    line: int
    id: str
    scored: ScoreResponse | None = None
    error: ErrorBody | None = None
