"""Effects of each corruption on the plan of a clip and on its rendered frames."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from reward_model.data.corruption_kinds import CORRUPTION_KINDS
from reward_model.data.people.appearance.sampling import sample_clothes, sample_person
from reward_model.data.people.corruptions.apply import CORRUPTIONS, corrupt
from reward_model.data.people.corruptions.parts import Cast
from reward_model.data.people.scenes.clip_plan import ClipPlan, Part
from reward_model.data.people.scenes.motion import sample_camera_motion, sample_person_motion
from reward_model.data.people.scenes.portrait import sample_portrait
from reward_model.data.people.scenes.sampling import sample_background, sample_light
from reward_model.data.seeding import generator

SEED = 5


def cast_of(count):
    people = [sample_person(SEED, f"person {n}") for n in range(count)]
    return Cast(SEED, tuple(sample_portrait(SEED, person, sample_clothes(SEED, person.name)) for person in people))


def original(cast, width=208, height=120):
    rng = generator("original")
    count = len(cast.portraits)
    parts = [
        Part(p.person, p.clothes, sample_person_motion(rng, (n + 0.5) / count, 0.4, 2.0, p.pose.yaw))
        for n, p in enumerate(cast.portraits)
    ]
    return ClipPlan(
        "clip", tuple(parts), sample_background(SEED, "a"), sample_light(SEED, "a"), sample_camera_motion(rng), 23,
        width=width, height=height,
    )  # fmt: skip


def corrupted(name, severity, count=2, seed=0):
    """(original plan, corrupted plan, cast of `count` people)."""
    cast = cast_of(count)
    return original(cast), corrupt(original(cast), cast, {name: severity}, generator("failure", seed)), cast


def people(plan, frame):
    """People in a frame, from left to right."""
    scene, _ = plan.scene(frame)
    return [actor.person for actor in sorted(scene.actors, key=lambda actor: actor.pose.x)]


LAST_FRAME = 32


@pytest.mark.parametrize("severity", [0.4, 0.95])
def test_wrong_person_replaces_everybody(severity):
    good, bad, _ = corrupted("wrong-person", severity)
    for before, after in zip(people(good, 0), people(bad, 0), strict=True):
        assert before.shape != after.shape
        assert (before.hair == after.hair) == (severity < 0.7)  # a look-alike keeps hair and colours
    assert people(bad, 0) == people(bad, LAST_FRAME)


def test_look_alikes_are_less_similar_at_higher_severity():
    def distance(severity):
        good, bad, _ = corrupted("wrong-person", severity, count=1)
        return np.linalg.norm(np.subtract(people(good, 0)[0].shape, people(bad, 0)[0].shape))

    assert distance(0.3) < distance(0.45) < distance(0.6)


def test_one_replaced_changes_exactly_one_person():
    good, bad, _ = corrupted("one-replaced", 0.9, count=3)
    same = [before == after for before, after in zip(people(good, 5), people(bad, 5), strict=True)]
    assert sorted(same) == [False, True, True]


def test_exchanged_swaps_people_and_keeps_clothes_and_bodies():
    good, bad, _ = corrupted("exchanged", 1.0)
    scene, before = bad.scene(3)[0], good.scene(3)[0]
    assert [a.person for a in scene.actors] == [a.person for a in before.actors][::-1]
    assert [a.clothes for a in scene.actors] == [a.clothes for a in before.actors]
    assert [a.body for a in scene.actors] == [a.person for a in before.actors]
    half = corrupted("exchanged", 0.5)[1]
    assert people(half, 0) == people(good, 0)
    assert people(half, LAST_FRAME) == people(good, 0)[::-1]


def test_missing_and_duplicated_change_the_number_of_people(gl_renderer):
    for count in (1, 2, 3):
        good, bad, _ = corrupted("missing", 1.0, count)
        assert len(gl_renderer.render(good.scene(8)[0], 208, 120).face_boxes) == count
        assert len(gl_renderer.render(bad.scene(8)[0], 208, 120).face_boxes) == count - 1
    good, bad, _ = corrupted("missing", 0.5)
    assert [len(people(bad, frame)) for frame in (0, 15, 17, LAST_FRAME)] == [2, 2, 1, 1]
    plans = [corrupted("duplicated", 1.0, 2, seed)[1] for seed in range(12)]
    assert {len(people(plan, 5)) for plan in plans} == {2, 3}
    for plan in plans:
        names = [person.name for person in people(plan, LAST_FRAME)]
        assert max(names.count(name) for name in names) == 2


def test_drift_blends_smoothly_into_another_person():
    good, bad, cast = corrupted("drift", 1.0, count=1)
    assert people(bad, 0) == people(good, 0) == [cast.portraits[0].person]
    shapes = np.array([people(bad, frame)[0].shape for frame in range(33)])
    steps = np.linalg.norm(np.diff(shapes, axis=0), axis=1)
    whole = np.linalg.norm(shapes[-1] - shapes[0])
    assert whole > 5  # two unrelated people are about 11 apart
    assert steps.max() < 0.1 * whole
    assert people(bad, LAST_FRAME)[0].shape != people(good, LAST_FRAME)[0].shape
    mild = corrupted("drift", 0.4, count=1)[1]
    assert np.linalg.norm(np.subtract(people(mild, LAST_FRAME)[0].shape, shapes[0])) < 0.8 * whole


def test_switch_changes_the_person_once():
    good, bad, _ = corrupted("switch", 0.9, count=1)
    names = [people(bad, frame)[0].name for frame in range(33)]
    assert names[0] == people(good, 0)[0].name
    assert len(set(names)) == 2
    assert sum(a != b for a, b in pairwise(names)) == 1


def test_look_changed_changes_hair_or_clothes_and_keeps_the_face():
    changes = set()
    for seed in range(12):
        good, bad, _ = corrupted("look-changed", 0.7, seed=seed)
        before, after = good.scene(0)[0].actors, bad.scene(0)[0].actors
        for old, new in zip(before, after, strict=True):
            assert replace(new.person, hair=old.person.hair) == old.person
            changes.add((new.person.hair != old.person.hair, new.clothes != old.clothes))
    assert changes == {(False, False), (True, False), (False, True)}


def test_frozen_face_has_pose_and_expression_of_the_reference():
    good, bad, cast = corrupted("frozen", 1.0)
    for frame in (0, 9, LAST_FRAME):
        for actor, portrait in zip(bad.scene(frame)[0].actors, cast.portraits, strict=True):
            assert vars(actor.expression) == pytest.approx(vars(portrait.expression))
            assert (actor.pose.yaw, actor.pose.pitch, actor.pose.roll) == pytest.approx(
                (portrait.pose.yaw, portrait.pose.pitch, portrait.pose.roll)
            )
    first, last = (bad.scene(frame)[0].actors[0].pose for frame in (0, 9))
    assert first.x != last.x
    assert good.scene(0)[0].actors[0].expression != good.scene(9)[0].actors[0].expression


def sharpness(image, box):
    x0, y0, x1, y1 = (round(side) for side in box)
    grey = image[y0:y1, x0:x1].astype(float).mean(-1)
    return np.abs(np.diff(grey, axis=1)).mean()


def test_face_damage_changes_faces_in_some_frames_only(gl_renderer):
    kinds = {}
    for seed in range(6):
        good, bad, _ = corrupted("face-damage", 0.7, seed=seed)
        kinds[bad.damage[0].kind] = (good, bad)
    assert set(kinds) == {"blur", "warp"}
    for good, bad in kinds.values():
        frames = list(range(0, 33, 4))
        clean, damaged = good.render(gl_renderer, frames), bad.render(gl_renderer, frames)
        changed = [not np.array_equal(a, b) for a, b in zip(clean, damaged, strict=True)]
        assert 0.4 < np.mean(changed) < 1
        index = changed.index(True)
        box = gl_renderer.render(good.scene(frames[index])[0], 208, 120).face_boxes[0]
        assert np.abs(clean[index].astype(int) - damaged[index]).max() > 30
        assert np.array_equal(clean[index][-6:], damaged[index][-6:])  # the clothes stay unchanged
    good, bad = kinds["blur"]
    clean, damaged = good.render(gl_renderer, [frames[index]]), bad.render(gl_renderer, [frames[index]])
    assert np.array_equal(clean, damaged) or sharpness(damaged[0], box) < 0.8 * sharpness(clean[0], box)


def test_resolution_lowers_the_sharpness_of_the_whole_frame(gl_renderer):
    good, bad, _ = corrupted("resolution", 1.0)
    clean, coarse = good.render(gl_renderer, [4])[0], bad.render(gl_renderer, [4])[0]
    frame_box = (0, 0, 208, 120)
    assert sharpness(coarse, frame_box) < 0.7 * sharpness(clean, frame_box)
    assert abs(coarse.mean() - clean.mean()) < 3


def test_several_corruptions_are_all_applied():
    cast = cast_of(2)
    severities = {"missing": 1.0, "look-changed": 0.9, "face-damage": 0.9, "resolution": 0.5}
    plan = corrupt(original(cast), cast, severities, generator(1))
    assert plan.severities == severities
    assert len(people(plan, 0)) == 1
    assert plan.damage
    assert plan.resolution < 1


@pytest.mark.parametrize(("name", "severity", "count"), [("drift", 0.1, 1), ("drift", 1.1, 1), ("exchanged", 0.9, 1)])
def test_severity_out_of_range_and_too_small_casts_are_refused(name, severity, count):
    with pytest.raises(ValueError, match=name):
        corrupted(name, severity, count)


def test_every_corruption_changes_clips_of_every_cast():
    assert list(CORRUPTIONS) == list(CORRUPTION_KINDS)
    for name, kind in CORRUPTION_KINDS.items():
        for count in range(kind.min_people, 4):
            for seed in range(3):
                good, bad, _ = corrupted(name, 0.9, count, seed)
                assert good != bad, (name, count)
