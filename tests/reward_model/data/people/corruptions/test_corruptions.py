"""What each failure mode does to a clip: to its plan, and to the drawn frames."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from reward_model.data.people.corruptions.identity import MODES, Cast, fail
from reward_model.data.people.scenes.clip_plan import ClipPlan, Part
from reward_model.data.people.scenes.motion import draw_camera, draw_head
from reward_model.data.people.scenes.references import draw_portrait
from reward_model.data.people.appearance.sampling import draw_background, draw_clothes, draw_light, draw_person, generator

SEED = 5


def cast_of(count):
    people = [draw_person(SEED, f"person {n}") for n in range(count)]
    return Cast(SEED, tuple(draw_portrait(SEED, person, draw_clothes(SEED, person.name)) for person in people))


def original(cast, width=208, height=120):
    rng = generator("original")
    count = len(cast.portraits)
    parts = [
        Part(p.person, p.clothes, draw_head(rng, (n + 0.5) / count, 0.4, 2.0, p.pose.yaw))
        for n, p in enumerate(cast.portraits)
    ]
    return ClipPlan(
        "clip", tuple(parts), draw_background(SEED, "a"), draw_light(SEED, "a"), draw_camera(rng), 23,
        width=width, height=height,
    )  # fmt: skip


def failed(mode, severity, count=2, draw=0):
    cast = cast_of(count)
    return original(cast), fail(original(cast), cast, {mode: severity}, generator("failure", draw)), cast


def people(plan, frame):
    """Who is on the screen, left to right."""
    scene, _ = plan.scene(frame)
    return [actor.person for actor in sorted(scene.actors, key=lambda actor: actor.pose.x)]


LAST = 32


@pytest.mark.parametrize("severity", [0.4, 0.95])
def test_wrong_person_replaces_everybody(severity):
    good, bad, _ = failed("wrong-person", severity)
    for before, after in zip(people(good, 0), people(bad, 0), strict=True):
        assert before.shape != after.shape
        assert (before.hair == after.hair) == (severity < 0.7)  # a look-alike keeps hair and colours
    assert people(bad, 0) == people(bad, LAST)


def test_look_alikes_get_less_alike():
    def distance(severity):
        good, bad, _ = failed("wrong-person", severity, count=1)
        return np.linalg.norm(np.subtract(people(good, 0)[0].shape, people(bad, 0)[0].shape))

    assert distance(0.3) < distance(0.45) < distance(0.6)


def test_one_replaced_leaves_the_others():
    good, bad, _ = failed("one-replaced", 0.9, count=3)
    same = [before == after for before, after in zip(people(good, 5), people(bad, 5), strict=True)]
    assert sorted(same) == [False, True, True]


def test_exchanged_heads_stand_on_each_others_bodies():
    good, bad, _ = failed("exchanged", 1.0)
    scene, before = bad.scene(3)[0], good.scene(3)[0]
    assert [a.person for a in scene.actors] == [a.person for a in before.actors][::-1]
    assert [a.clothes for a in scene.actors] == [a.clothes for a in before.actors]
    assert [a.body for a in scene.actors] == [a.person for a in before.actors]
    half = failed("exchanged", 0.5)[1]
    assert people(half, 0) == people(good, 0)
    assert people(half, LAST) == people(good, 0)[::-1]


def test_missing_and_duplicated_change_how_many_there_are(gl):
    for count in (1, 2, 3):
        good, bad, _ = failed("missing", 1.0, count)
        assert len(gl.render(good.scene(8)[0], 208, 120).heads) == count
        assert len(gl.render(bad.scene(8)[0], 208, 120).heads) == count - 1
    good, bad, _ = failed("missing", 0.5)
    assert [len(people(bad, frame)) for frame in (0, 15, 17, LAST)] == [2, 2, 1, 1]
    extra = [failed("duplicated", 1.0, 2, draw)[1] for draw in range(12)]
    assert {len(people(plan, 5)) for plan in extra} == {2, 3}
    for plan in extra:
        seen = [person.name for person in people(plan, LAST)]
        assert max(seen.count(name) for name in seen) == 2


def test_a_drift_begins_with_the_person_and_ends_with_another():
    good, bad, cast = failed("drift", 1.0, count=1)
    assert people(bad, 0) == people(good, 0) == [cast.portraits[0].person]
    shapes = np.array([people(bad, frame)[0].shape for frame in range(33)])
    steps = np.linalg.norm(np.diff(shapes, axis=0), axis=1)
    whole = np.linalg.norm(shapes[-1] - shapes[0])
    assert whole > 5  # two unrelated people are about 11 apart
    assert steps.max() < 0.1 * whole
    assert people(bad, LAST)[0].shape != people(good, LAST)[0].shape
    mild = failed("drift", 0.4, count=1)[1]
    assert np.linalg.norm(np.subtract(people(mild, LAST)[0].shape, shapes[0])) < 0.8 * whole


def test_a_switch_is_one_cut():
    good, bad, _ = failed("switch", 0.9, count=1)
    names = [people(bad, frame)[0].name for frame in range(33)]
    assert names[0] == people(good, 0)[0].name
    assert len(set(names)) == 2
    assert sum(a != b for a, b in pairwise(names)) == 1


def test_a_changed_look_is_the_same_face():
    looks = set()
    for draw in range(12):
        good, bad, _ = failed("look-changed", 0.7, draw=draw)
        before, after = good.scene(0)[0].actors, bad.scene(0)[0].actors
        for old, new in zip(before, after, strict=True):
            assert replace(new.person, hair=old.person.hair) == old.person
            looks.add((new.person.hair != old.person.hair, new.clothes != old.clothes))
    assert looks == {(False, False), (True, False), (False, True)}


def test_a_frozen_head_is_the_references():
    good, bad, cast = failed("frozen", 1.0)
    for frame in (0, 9, LAST):
        for actor, portrait in zip(bad.scene(frame)[0].actors, cast.portraits, strict=True):
            assert vars(actor.expression) == pytest.approx(vars(portrait.expression))
            assert (actor.pose.yaw, actor.pose.pitch, actor.pose.roll) == pytest.approx(
                (portrait.pose.yaw, portrait.pose.pitch, portrait.pose.roll)
            )
    first, last = (bad.scene(frame)[0].actors[0].pose for frame in (0, 9))
    assert first.x != last.x
    assert good.scene(0)[0].actors[0].expression != good.scene(9)[0].actors[0].expression


def sharpness(picture, box):
    x0, y0, x1, y1 = (round(side) for side in box)
    grey = picture[y0:y1, x0:x1].astype(float).mean(-1)
    return np.abs(np.diff(grey, axis=1)).mean()


def test_damage_is_of_heads_in_some_frames(gl):
    kinds = {}
    for draw in range(6):
        good, bad, _ = failed("face-damage", 0.7, draw=draw)
        kinds[bad.damage[0].kind] = (good, bad)
    assert set(kinds) == {"blur", "warp"}
    for good, bad in kinds.values():
        frames = list(range(0, 33, 4))
        clean, damaged = good.draw(gl, frames), bad.draw(gl, frames)
        changed = [not np.array_equal(a, b) for a, b in zip(clean, damaged, strict=True)]
        assert 0.4 < np.mean(changed) < 1
        at = changed.index(True)
        box = gl.render(good.scene(frames[at])[0], 208, 120).heads[0]
        assert np.abs(clean[at].astype(int) - damaged[at]).max() > 30
        assert np.array_equal(clean[at][-6:], damaged[at][-6:])  # not the clothes
    good, bad = kinds["blur"]
    clean, damaged = good.draw(gl, [frames[at]]), bad.draw(gl, [frames[at]])
    assert np.array_equal(clean, damaged) or sharpness(damaged[0], box) < 0.8 * sharpness(clean[0], box)


def test_resolution_is_lost_everywhere(gl):
    good, bad, _ = failed("resolution", 1.0)
    clean, coarse = good.draw(gl, [4])[0], bad.draw(gl, [4])[0]
    whole = (0, 0, 208, 120)
    assert sharpness(coarse, whole) < 0.7 * sharpness(clean, whole)
    assert abs(coarse.mean() - clean.mean()) < 3


def test_two_failures_add_up():
    cast = cast_of(2)
    modes = {"missing": 1.0, "look-changed": 0.9, "face-damage": 0.9, "resolution": 0.5}
    plan = fail(original(cast), cast, modes, generator(1))
    assert plan.modes == modes
    assert len(people(plan, 0)) == 1
    assert plan.damage
    assert plan.resolution < 1


@pytest.mark.parametrize(("mode", "severity", "count"), [("drift", 0.1, 1), ("drift", 1.1, 1), ("exchanged", 0.9, 1)])
def test_what_a_mode_does_not_take(mode, severity, count):
    with pytest.raises(ValueError, match=mode):
        failed(mode, severity, count)


def test_every_mode_is_tested_at_every_cast():
    for mode, entry in MODES.items():
        for count in range(entry.needs, 4):
            for draw in range(3):
                good, bad, _ = failed(mode, 0.9, count, draw)
                assert good != bad, (mode, count)
