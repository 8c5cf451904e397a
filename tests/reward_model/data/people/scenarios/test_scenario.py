import pytest

from reward_model.data.people.corruptions.identity import MODES
from reward_model.data.people.scenarios.options import Options, PeopleError, parse_size, parse_splits, share_out
from reward_model.data.people.scenarios.scenario import ClipSize, draw_scenario

SIZE = ClipSize()


@pytest.fixture(scope="module")
def scenarios():
    return [draw_scenario(3, index, SIZE) for index in range(120)]


def test_a_scenario_is_a_function_of_seed_and_number(scenarios):
    assert draw_scenario(3, 7, SIZE) == scenarios[7]
    assert draw_scenario(4, 7, SIZE).portraits != scenarios[7].portraits


def test_nobody_is_in_two_scenarios(scenarios):
    names = [portrait.person.name for scenario in scenarios for portrait in scenario.portraits]
    assert len(set(names)) == len(names)
    shapes = [portrait.person.shape for scenario in scenarios for portrait in scenario.portraits]
    assert len(set(shapes)) == len(shapes)


def test_casts_and_clips(scenarios):
    counts = [len(scenario.portraits) for scenario in scenarios]
    assert {1, 2, 3} == set(counts)
    assert 0.45 < counts.count(2) / len(counts) < 0.75
    for scenario in scenarios:
        originals = [clip for clip in scenario.clips if not clip.modes]
        assert len(scenario.clips) == 6
        assert len(originals) in (2, 3)
        assert any(len(clip.modes) for clip in scenario.clips)
        for clip in originals:
            # nuisances alone: the people and their clothes are those of the references
            assert [(part.person, part.clothes) for part in clip.parts] == [
                (portrait.person, portrait.clothes) for portrait in scenario.portraits
            ]
            assert not clip.damage
            assert clip.resolution == 1
        assert len({clip.light for clip in scenario.clips}) == 6
        assert len({clip.camera for clip in scenario.clips}) == 6


def test_prompts_name_places(scenarios):
    for scenario in scenarios:
        assert ("on the left" in scenario.prompt) == (len(scenario.portraits) > 1)
        assert ("in the middle" in scenario.prompt) == (len(scenario.portraits) == 3)
        xs = [part.motion.x.base for part in scenario.clips[0].parts[: len(scenario.portraits)]]
        if "duplicated" not in scenario.clips[0].modes:
            assert xs == sorted(xs)


def test_all_modes_come_at_severities_in_their_range(scenarios):
    seen: dict[str, list[float]] = {name: [] for name in MODES}
    for scenario in scenarios:
        for clip in scenario.clips:
            for name, severity in clip.modes.items():
                seen[name].append(severity)
    for name, severities in seen.items():
        assert len(severities) > 15, name
        assert MODES[name].least <= min(severities)
        assert max(severities) <= 1


def test_heads_are_large_enough(scenarios):
    two = [scenario for scenario in scenarios if len(scenario.portraits) == 2]
    sizes = [part.motion.size * SIZE.height for scenario in two for part in scenario.clips[0].parts[:2]]
    assert min(sizes) > 55
    assert 65 < sorted(sizes)[len(sizes) // 2] < 110


def test_shares_are_met():
    order = share_out({"train": 0.8, "dev": 0.1, "test": 0.1}, 200)
    assert [order.count(name) for name in ("train", "dev", "test")] == [160, 20, 20]
    assert set(order[:7]) == {"train", "dev", "test"}
    assert share_out({"train": 0.8, "dev": 0.1, "test": 0.1}, 50) == order[:50]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pairs": 0}, "at least one pair"),
        ({"splits": {"train": 0.5, "test": 0.6}}, "sum to 1"),
        ({"splits": {"train": 1.1, "test": -0.1}}, "positive shares"),
        ({"size": ClipSize(width=415)}, "even sides"),
        ({"size": ClipSize(num_frames=1)}, "two frames"),
        ({"clips_per_scenario": 2}, "three clips"),
    ],
)
def test_options_that_do_not_go_together(options, said):
    with pytest.raises(PeopleError, match=said):
        Options(**{"pairs": 5, "seed": 0, **options})


def test_arguments():
    assert parse_splits("train=0.8, test=0.2") == {"train": 0.8, "test": 0.2}
    assert parse_size("140x252", "--packed-size") == (140, 252)
    for text in ("train", "train=x", "=1", "train=nan"):
        with pytest.raises(PeopleError, match="NAME=SHARE"):
            parse_splits(text)
    for text in ("140", "140x", "0x252", "ax252", "1x2x3"):
        with pytest.raises(PeopleError, match="two sides"):
            parse_size(text, "--size")
