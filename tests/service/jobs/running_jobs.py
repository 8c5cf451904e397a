"""Items of known reward, and waiting for jobs that run."""

import numpy as np

from identity_reward_client.messages import Image, Pixels, Video
from identity_reward_client.wire.job_messages import JobItem, JobResult
from service.jobs.service import Jobs
from service.scheduling.call import Call
from tests.support.waiting import until

LIMIT_S = 60.0
ANNA, BEN = Call(client="anna"), Call(client="ben")


def scored_item(value: int, **more) -> JobItem:
    """An item whose reward is value / 255."""
    frames = np.full((6, 8, 8, 3), value, np.uint8)
    face = Image(pixels=Pixels(shape=[1, 1, 3], data=b"abc"))
    video = Video(frames=Pixels(shape=list(frames.shape), data=frames.tobytes()), fps=8)
    return JobItem(**({"references": [face], "video": video} | more))


def num_admitted(jobs: Jobs) -> int:
    """Items that the engine has accepted and not answered yet."""
    return jobs._engine._models.find(None).admission.tokens


async def finished(jobs: Jobs, job: str, call: Call = ANNA):
    async def done():
        info = await jobs.info(job, call)
        return info if info.finished else None

    return await until(done)


async def results(jobs: Jobs, job: str, call: Call = ANNA, **page) -> list[JobResult]:
    return [JobResult.model_validate_json(line) for line in (await jobs.results(job, call, **page)).splitlines()]
