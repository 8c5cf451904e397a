"""The messages of bulk jobs. A manifest is JSONL: a JobItem a line; so are results: a JobResult a line."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import AwareDatetime, Field

from ..messages import Answer, ErrorBody, ScoreRequest, ScoreResponse

NDJSON = "application/x-ndjson"
# the same under another name
JSONL = "application/jsonl"

JobState = Literal["queued", "running", "done", "cancelled"]
JOB_STATES: tuple[JobState, ...] = get_args(JobState)


class JobItem(ScoreRequest):
    """A line of a manifest: one video to score.

    A line may name by its id a reference set whose pictures an earlier line of the manifest carries: those are kept
    with the job. A set that was stored by `PUT /v1/reference-sets` is there only as long as the server keeps it.
    """

    id: str | None = Field(
        default=None, min_length=1, max_length=200, description="names the item in its job; its line number when absent"
    )


class JobInfo(Answer):
    """`done` items have a result, `failed` of them an error; `waiting` ones have none yet."""

    id: str
    state: JobState
    total: int
    done: int
    failed: int
    waiting: int
    created_at: AwareDatetime
    started_at: AwareDatetime | None = None
    finished_at: AwareDatetime | None = None
    items_per_s: float | None = Field(default=None, description="as measured over the last items, while it runs")
    eta_s: float | None = Field(default=None, description="seconds to its end at that rate")
    held_up: ErrorBody | None = Field(
        default=None, description="what its items wait for at present: an error after which they are tried again"
    )

    @property
    def finished(self) -> bool:
        return self.state in ("done", "cancelled")


class JobList(Answer):
    """The newest first. `next` is the `after` of the next page, absent on the last."""

    jobs: list[JobInfo]
    next: str | None = None


class JobResult(Answer):
    """The outcome of one item: exactly one of `scored` and `error`. `number` counts a job's results from 1 in the order
    in which they came: the `after` with which the next page begins."""

    number: int
    line: int
    id: str
    scored: ScoreResponse | None = None
    error: ErrorBody | None = None
