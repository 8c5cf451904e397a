import numpy as np

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
