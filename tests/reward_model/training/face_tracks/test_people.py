"""Held-out people and stranger pairs, for records of generated photographs and of rendered people."""

from importlib.util import find_spec
from itertools import combinations

import pytest

from reward_model.data.people.dataset.generate import open_source, scenario_pairs
from reward_model.data.people.photographs.openpeople import PEOPLE
from reward_model.data.people.scenarios.options import PeopleOptions
from reward_model.data.people.scenarios.scenario import sample_scenario
from reward_model.data.records import PreferencePair, Reference, write_pairs
from reward_model.training.configs.face_tracks import FaceTracksConfig, TrackPairs
from reward_model.training.errors import TrainingError
from reward_model.training.face_tracks.cross_validation import cross_validate
from reward_model.training.face_tracks.people import folds_of, people_of, require_people, split_people, stranger_pairs

photographs = pytest.mark.skipif(find_spec("openpeople") is None, reason="needs the package openpeople")


def generated(seed: int = 1, scenarios: int = 60) -> list[PreferencePair]:
    options = PeopleOptions(6 * scenarios, seed, photos=True, splits={"test": 1.0})
    source = open_source(options)
    pairs = []
    for index in range(scenarios):
        scenario = source.scenario(index, "test")
        references = [Reference(path=f"{r.person}.png", person=r.person) for r in scenario.references]
        paths = [f"clips/{clip.name}.mp4" for clip in scenario.clips]
        pairs += scenario_pairs(options, index, "test", scenario, references, paths, source.licence)
    return pairs


@pytest.fixture(scope="module")
def photos() -> list[PreferencePair]:
    return generated()


@photographs
def test_people_of_photograph_records_include_impostors(photos):
    assert all(set(pair.persons) <= set(pair.meta["people"]) <= set(PEOPLE) for pair in photos)
    assert all(pair.meta["people"] == sorted(pair.meta["people"]) for pair in photos)
    for pair in photos:
        modes = {*pair.meta["a"]["modes"], *pair.meta["b"]["modes"]}
        impostors = set(pair.meta["people"]) - set(pair.persons)
        assert bool(impostors) == bool(modes & {"wrong-person", "one-replaced", "drift", "switch"}), pair.pair_id


@photographs
def test_folds_partition_the_people(photos):
    folds = folds_of(photos, 4, 0)
    assert frozenset().union(*folds) == set(PEOPLE)
    assert not any(first & second for first, second in combinations(folds, 2))
    assert max(map(len, folds)) - min(map(len, folds)) <= 1
    for fold in folds:
        trained_on = [pair for pair in photos if not fold & people_of(pair)]
        # a split by references alone would train on clips that show people of the fold
        assert len(trained_on) < sum(not fold & set(pair.persons) for pair in photos)
    with pytest.raises(TrainingError, match="30 folds of 10 people"):
        folds_of(photos, 30, 0)


@photographs
def test_stranger_pairs_compare_with_clips_of_as_many_other_people(photos):
    added = stranger_pairs(photos, 3, 0)
    assert added == stranger_pairs(photos, 3, 0)
    assert added != stranger_pairs(photos, 3, 1)
    assert len({pair.pair_id for pair in (*photos, *added)}) == len(photos) + len(added)
    cast_of = {path: pair for pair in photos for path in (pair.video_a, pair.video_b)}
    modes = {getattr(pair, f"video_{side}"): pair.meta[side]["modes"] for pair in photos for side in "ab"}
    kinds = set()
    for pair in added:
        better, worse = cast_of[pair.video_a], cast_of[pair.video_b]
        assert better.references == pair.references
        assert len(worse.references) == len(pair.references)
        assert not set(worse.persons) & set(pair.persons)
        assert people_of(pair) >= {*pair.persons, *worse.persons}
        assert not modes[pair.video_b]
        assert "wrong-person" not in modes[pair.video_a]
        assert pair.label == "A"
        kinds.add((pair.pair_id.rpartition("-")[2], bool(modes[pair.video_a])))
    assert kinds == {("good", False), ("failing", True)}
    assert stranger_pairs(photos, 0, 0) == []


@photographs
def test_one_cast_alone_has_no_stranger_pairs(photos):
    (cast, *_) = photos
    alone = [pair for pair in photos if pair.references == cast.references]
    assert stranger_pairs(alone, 2, 0) == []


def people_in(pairs: list[PreferencePair], indices: list[int]) -> frozenset[str]:
    return frozenset().union(*(people_of(pairs[i]) for i in indices))


@photographs
@pytest.mark.parametrize("seed", range(4))
def test_parts_of_a_split_of_photographs_share_nobody(photos, seed):
    rest, held_out = split_people(photos, 0.15, seed)
    assert not people_in(photos, rest) & people_in(photos, held_out)
    num_used = len(rest) + len(held_out)
    assert 0.15 <= len(held_out) / num_used < 0.5
    # pairs that show people of both parts are in neither
    assert 0.3 * len(photos) < num_used < len(photos)
    assert (rest, held_out) == split_people(photos, 0.15, seed)


@photographs
def test_rendered_casts_and_photographs_are_split_separately(photos):
    rendered = [
        pair.model_copy(update={"references": (Reference(path="r.png", person=f"r{n // 6}"),), "meta": {}})
        for n, pair in enumerate(photos)
    ]
    both = rendered + photos
    rest, held_out = split_people(both, 0.1, 0)
    assert not people_in(both, rest) & people_in(both, held_out)
    cut = len(rendered)
    assert sum(i < cut for i in held_out) == 36
    assert sum(i < cut for i in rest) == 324
    assert any(i >= cut for i in held_out)


def test_connected_people_cannot_be_split(photos):
    connected = [pair.model_copy(update={"meta": {**pair.meta, "people": sorted(PEOPLE)}}) for pair in photos[:20]]
    with pytest.raises(TrainingError, match="no people can be held out of 20 pairs"):
        split_people(connected, 0.1, 0)


@photographs
def test_photograph_pairs_without_names_of_people_are_refused(photos, tmp_path):
    unnamed = [pair.model_copy(update={"meta": {"mode": pair.meta["mode"]}}) for pair in photos[:3]]
    for name, pairs in (("unnamed", unnamed), ("named", photos[:6])):
        write_pairs(tmp_path / f"{name}.jsonl", pairs)
        for path in (path for pair in pairs for path in (pair.video_a, pair.video_b, pair.references[0].path)):
            (tmp_path / path).parent.mkdir(exist_ok=True)
            (tmp_path / path).touch()
        for reference in (reference for pair in pairs for reference in pair.references):
            (tmp_path / reference.path).touch()
    for tested, train in (("unnamed", ()), ("named", (TrackPairs(path=str(tmp_path / "unnamed.jsonl")),))):
        config = FaceTracksConfig(train=train, cache=str(tmp_path / "cache"))
        with pytest.raises(TrainingError, match=r"unnamed\.jsonl: pair .* lacks meta\.people"):
            cross_validate(config, tmp_path / f"{tested}.jsonl", 3)


def test_pairs_of_rendered_people_need_no_names_unless_held_out():
    rendered = PreferencePair.model_validate({
        "pair_id": "1", "prompt": "", "references": [{"path": "a.png", "person": "1-000000a"}], "video_a": "a.mp4",
        "video_b": "b.mp4", "votes": {"A": 3}, "source": "construction", "split": "train",
    })  # fmt: skip
    require_people("x.jsonl", [rendered], ["P001"])
    with pytest.raises(TrainingError, match=r"x\.jsonl: pair 1 of 1-000000a lacks meta\.people"):
        require_people("x.jsonl", [rendered], ["1-000000a"])


def test_rendered_look_alikes_have_their_own_names():
    options = PeopleOptions(6, 3)
    num_replaced = 0
    for index in range(40):
        scenario = sample_scenario(3, index, options.size)
        cast = {portrait.person.name for portrait in scenario.portraits}
        for clip in scenario.clips:
            replaced = {"wrong-person", "one-replaced", "drift", "switch"} & set(clip.severities)
            assert bool(clip.people - cast) == bool(replaced), (clip.name, clip.severities)
            num_replaced += bool(replaced)
    assert num_replaced > 20
