import numpy as np
import pytest

from identity_reward_client import FakeRewardClient
from tests.support.paths import EXAMPLES
from tests.trainer.conftest import flat_clip, make_group
from trainer.rewards import RemoteReward, RewardSource
from trainer.rewards.guards import Guards
from trainer.types import RolloutGroup

ANNA = EXAMPLES / "references/anna.jpg"


class Faces(FakeRewardClient):
    """Answers with two faces in every frame; details only where they are asked for."""

    async def score_group(self, references, videos, **options):
        response = await super().score_group(references, videos, **options)
        for item in response.items:
            if item.scored.details is not None:
                item.scored.details["num_frame_faces"] = [2, 2, 3, 1]
        return response


def score(guards, *groups, source):
    with RemoteReward([source]) as reward:
        for group in groups:
            guards.observe(group)
            reward.submit(group)
        return guards.report(reward.collect())


def test_values_are_in_the_order_of_the_groups_and_means_leave_out_missing_ones():
    guards = Guards(["motion", "saturation"])
    short = RolloutGroup("b", [b"ben"], [flat_clip(9, frames=1)], fps=8)
    report = score(guards, make_group("a", 0, 100), short, source=RewardSource("r", FakeRewardClient()))
    assert report.values["motion"].shape == (2, 2)
    assert np.isnan(report.values["motion"][1]).all(), "one frame, and no second video"
    assert report.means() == {"motion": 0.0, "saturation": 0.0}
    assert score(guards, short, source=RewardSource("r", FakeRewardClient())).means() == {"saturation": 0.0}


def test_identical_videos_of_a_group_are_reported():
    guards = Guards()
    groups = make_group("a", 5, 6, 5, 5), make_group("b", 5)
    report = score(guards, *groups, source=RewardSource("r", FakeRewardClient()))
    assert report.duplicates == (("a", 2), ("a", 3))
    assert report.warnings() == [
        "group a: video 2, 3 repeats another of the group, pixel by pixel; does every sample have a noise of its own?"
    ]
    assert score(guards, groups[1], source=RewardSource("r", FakeRewardClient())).duplicates == ()


def test_faces_are_counted_from_the_details_of_a_source():
    guards = Guards(faces_of="faces")
    report = score(guards, make_group("a", 5, 6), source=RewardSource("faces", Faces(), details=True))
    assert report.values["faces"].tolist() == [[2.0, 2.0]]
    without = score(guards, make_group("a", 5, 6), source=RewardSource("faces", Faces()))
    assert without.means() == {}


def test_references_are_read_from_files_and_bytes():
    clips = [np.random.default_rng(n).integers(0, 256, (2, 60, 104, 3), dtype=np.uint8) for n in range(2)]
    guards = Guards(["reference_similarity"])
    for references in ([ANNA], [ANNA.read_bytes()]):
        group = RolloutGroup("a", references, clips, fps=8)
        report = score(guards, group, source=RewardSource("r", FakeRewardClient()))
        assert 0 < report.values["reference_similarity"].max() < 0.8
    assert report.values["reference_similarity"].shape == (1, 2)


def test_references_are_read_only_where_they_are_measured():
    group = make_group("a", 1, 2, references=(b"no image",))
    assert score(Guards(["motion"]), group, source=RewardSource("r", FakeRewardClient())).means() == pytest.approx(
        {"motion": 0.0}
    )
