import numpy as np

from reward_model.data.people.photographs.source import PhotographedPeople
from reward_model.data.people.scenarios.scenario import ClipSize, sample_scenario
from reward_model.data.people.scenarios.sources import RenderedPeople

SIZE = ClipSize(num_frames=5, width=84, height=48)


def test_rendered_scenario_has_the_references_and_clips_of_the_sampled_one():
    source = RenderedPeople(3, SIZE, 4, "gl")
    scenario, plan = source.scenario(2, "train"), sample_scenario(3, 2, SIZE, 4)
    assert (scenario.name, scenario.prompt, scenario.cluster) == (plan.name, plan.prompt, plan.name)
    assert [reference.person for reference in scenario.references] == [p.person.name for p in plan.portraits]
    assert [(clip.name, clip.severities, clip.people) for clip in scenario.clips] == [
        (clip.name, clip.severities, clip.people) for clip in plan.clips
    ]
    frames = scenario.clips[0].render([0, 4])
    assert frames.shape == (2, 48, 84, 3)
    assert frames.dtype == np.uint8
    assert scenario.references[0].render().ndim == 3
    source.close()


def test_nuisances_change_pixels_and_compression_of_each_clip_by_itself():
    source = PhotographedPeople(5, ClipSize(num_frames=8), 6, {"test": 1.0})
    plain = source.scenario(1, "test")
    filmed = plain.with_nuisances(5)
    again = source.scenario(1, "test").with_nuisances(5)
    assert [clip.nuisances for clip in filmed.clips] == [clip.nuisances for clip in again.clips]
    assert any(clip.nuisances for clip in filmed.clips)
    for before, after in zip(plain.clips, filmed.clips, strict=True):
        assert (before.severities, before.people) == (after.severities, after.people)
        changes_pixels = set(after.nuisances) - {"compression"}
        assert np.array_equal(before.render([0]), after.render([0])) == (not changes_pixels)
        assert (after.crf > before.crf) == ("compression" in after.nuisances)
