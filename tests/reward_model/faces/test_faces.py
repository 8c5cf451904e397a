"""The committed example clips, scored by `arcface` in process."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from reward_model.types import ReferenceSet, Sample, Video
from tests.examples.scripts import EXAMPLES, GROUPS


def read_frames(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group["name"])
def test_clips_that_keep_their_people_score_above_all_others(scorer, score, group):
    references = ReferenceSet(tuple(np.array(Image.open(EXAMPLES / path)) for path in group["references"]))
    rewards = {True: [], False: []}
    for clip in group["clips"]:
        if clip["copied"]:  # a mean similarity can't tell a copy from a likeness
            continue
        frames_THWC = read_frames(EXAMPLES / clip["file"])
        assert frames_THWC.shape == (40, 480, 832, 3)
        indices = scorer.info.frame_sampling.indices(len(frames_THWC), 16.0)
        video = Video(frames_THWC[list(indices)], 16.0, len(frames_THWC), indices)
        rewards[clip["right"]].append(score(Sample(references, video)).reward)
    assert min(rewards[True]) > max(rewards[False]) + 0.15
