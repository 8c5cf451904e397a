import pytest

from reward_model.data.corruption_kinds import CORRUPTION_KINDS
from reward_model.data.people.scenarios.scenario import ClipSize, sample_scenario

SIZE = ClipSize()


@pytest.fixture(scope="module")
def scenarios():
    return [sample_scenario(3, index, SIZE) for index in range(120)]


def test_scenario_is_a_function_of_seed_and_index(scenarios):
    assert sample_scenario(3, 7, SIZE) == scenarios[7]
    assert sample_scenario(4, 7, SIZE).portraits != scenarios[7].portraits


def test_nobody_is_in_two_scenarios(scenarios):
    names = [portrait.person.name for scenario in scenarios for portrait in scenario.portraits]
    assert len(set(names)) == len(names)
    shapes = [portrait.person.shape for scenario in scenarios for portrait in scenario.portraits]
    assert len(set(shapes)) == len(shapes)


def test_casts_have_one_to_three_people_and_two_or_three_uncorrupted_clips(scenarios):
    counts = [len(scenario.portraits) for scenario in scenarios]
    assert {1, 2, 3} == set(counts)
    assert 0.45 < counts.count(2) / len(counts) < 0.75
    for scenario in scenarios:
        originals = [clip for clip in scenario.clips if not clip.severities]
        assert len(scenario.clips) == 6
        assert len(originals) in (2, 3)
        assert any(len(clip.severities) for clip in scenario.clips)
        for clip in originals:
            # without corruption, people and clothes are those of the references
            assert [(part.person, part.clothes) for part in clip.parts] == [
                (portrait.person, portrait.clothes) for portrait in scenario.portraits
            ]
            assert not clip.damage
            assert clip.resolution == 1
        assert len({clip.light for clip in scenario.clips}) == 6
        assert len({clip.camera for clip in scenario.clips}) == 6


def test_prompts_name_positions_from_left_to_right(scenarios):
    for scenario in scenarios:
        assert ("on the left" in scenario.prompt) == (len(scenario.portraits) > 1)
        assert ("in the middle" in scenario.prompt) == (len(scenario.portraits) == 3)
        xs = [part.motion.x.base for part in scenario.clips[0].parts[: len(scenario.portraits)]]
        if "duplicated" not in scenario.clips[0].severities:
            assert xs == sorted(xs)


def test_every_corruption_occurs_within_its_range(scenarios):
    severities_by_name: dict[str, list[float]] = {name: [] for name in CORRUPTION_KINDS}
    for scenario in scenarios:
        for clip in scenario.clips:
            for name, severity in clip.severities.items():
                severities_by_name[name].append(severity)
    for name, severities in severities_by_name.items():
        assert len(severities) > 15, name
        assert CORRUPTION_KINDS[name].min_severity <= min(severities)
        assert max(severities) <= 1


def test_faces_are_large_enough(scenarios):
    two = [scenario for scenario in scenarios if len(scenario.portraits) == 2]
    sizes = [part.motion.size * SIZE.height for scenario in two for part in scenario.clips[0].parts[:2]]
    assert min(sizes) > 55
    assert 65 < sorted(sizes)[len(sizes) // 2] < 110
