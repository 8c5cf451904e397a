from dataclasses import replace

import numpy as np
import pytest

from reward_model.data.people.appearance.sampling import sample_clothes, sample_person
from reward_model.data.people.scenes.clip_plan import ClipPlan, FaceDamage, HeldPose, Part, Takeover
from reward_model.data.people.scenes.motion import sample_camera_motion, sample_person_motion
from reward_model.data.people.scenes.sampling import sample_background, sample_light
from reward_model.data.people.scenes.scene import Expression, Pose
from reward_model.data.seeding import generator

LAST_FRAME = 32


@pytest.fixture
def part():
    motion = sample_person_motion(generator("part"), 0.5, 0.5, 2.0, 0.0)
    return Part(sample_person(1, "ann"), sample_clothes(1, "ann"), motion)


def plan_of(*parts, **fields):
    camera = sample_camera_motion(generator("camera"))
    return ClipPlan("clip", parts, sample_background(1, "a"), sample_light(1, "a"), camera, 23, width=104, height=60,
                    **fields)  # fmt: skip


def test_takeover_blends_from_its_start_to_its_end():
    takeover = Takeover(sample_person(1, "bob"), 0.2, 0.6, reach=0.5)
    assert [takeover.share(position) for position in (0.1, 0.4, 0.6, 1.0)] == pytest.approx([0, 0.25, 0.5, 0.5])


def test_takeover_without_duration_is_a_cut():
    cut = Takeover(sample_person(1, "bob"), 0.5, 0.5)
    assert (cut.share(0.49), cut.share(0.5)) == (0.0, 1.0)


def test_people_of_a_plan_are_those_shown_in_any_frame(part):
    bob = Takeover(sample_person(1, "bob"), 0.5, 0.5)
    never_shown = replace(part, person=sample_person(1, "cat"), shown=(-1.0, -1.0))
    assert plan_of(replace(part, takeover=bob), never_shown).people == {"ann", "bob"}


def test_scene_shows_the_parts_within_their_span(part):
    plan = plan_of(part, replace(part, shown=(0.0, 0.4)))
    assert [plan.scene(frame)[1] for frame in (0, LAST_FRAME)] == [(0, 1), (0,)]


def test_fully_held_pose_fixes_orientation_and_expression_but_not_position(part):
    held = HeldPose(Pose(yaw=12.0), Expression(smile=0.5), 1.0)
    first, last = (plan_of(replace(part, held=held)).scene(frame)[0].actors[0] for frame in (0, LAST_FRAME))
    assert first.pose.yaw == last.pose.yaw == pytest.approx(12.0)
    assert vars(first.expression) == vars(last.expression) == pytest.approx(vars(held.expression))
    assert first.pose.x != last.pose.x


def test_damage_is_rendered_within_its_span_only(part, gl_renderer):
    good, damaged = plan_of(part), plan_of(part, damage=(FaceDamage(0, "blur", 1.0, (0.5, 1.0)),))
    same = [
        np.array_equal(good.render(gl_renderer, [frame]), damaged.render(gl_renderer, [frame]))
        for frame in (0, LAST_FRAME)
    ]
    assert same == [True, False]
    assert good.render(gl_renderer, [0, 3]).shape == (2, 60, 104, 3)
