"""Frames of the OpenGL and the numpy renderer."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from reward_model.data.people.appearance.sampling import sample_clothes, sample_person
from reward_model.data.people.scenes.sampling import sample_light
from reward_model.data.people.scenes.scene import BACKGROUNDS, Actor, Background, Camera, Pose, Scene


@pytest.mark.parametrize("kind", ["gl", "numpy"])
def test_same_scene_gives_same_pixels_in_another_process(kind):
    code = f"""
import hashlib
from reward_model.data.people.appearance.sampling import sample_clothes, sample_person
from reward_model.data.people.rendering.factory import open_renderer
from reward_model.data.people.scenes.scene import Actor, Background, Pose, Scene
actor = Actor(sample_person(3, "ann"), sample_clothes(3, "ann"), Pose(size=0.5))
renderer = open_renderer("{kind}")
frame = renderer.render(Scene((actor,), Background("bokeh", 2)), 160, 120)
print(hashlib.sha256(frame.rgb.tobytes()).hexdigest(), frame.face_boxes)
"""
    outputs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert outputs[0] == outputs[1]


def test_gl_and_numpy_agree(gl_renderer, numpy_renderer, two_people):
    scene = replace(two_people, camera=Camera(dx=0.02, zoom=1.1, roll=3), light=sample_light(3, "a"))
    fast, slow = gl_renderer.render(scene, 416, 240), numpy_renderer.render(scene, 416, 240)
    assert fast.rgb.shape == slow.rgb.shape == (240, 416, 3)
    assert fast.rgb.dtype == slow.rgb.dtype == np.uint8
    assert fast.face_boxes == slow.face_boxes
    difference = np.abs(fast.rgb.astype(int) - slow.rgb.astype(int))
    assert difference.mean() < 0.5
    assert (difference.max(2) > 24).mean() < 0.002  # a few pixels at edges


def test_later_actor_covers_earlier_actor(gl_renderer, two_people):
    ann, bob = (replace(actor, pose=Pose(size=0.4)) for actor in two_people.actors)
    alone = gl_renderer.render(replace(two_people, actors=(bob,)), 416, 240)
    over = gl_renderer.render(replace(two_people, actors=(ann, bob)), 416, 240)
    under = gl_renderer.render(replace(two_people, actors=(bob, ann)), 416, 240)
    x0, y0, x1, y1 = (int(c) for c in over.face_boxes[1])
    inner = np.s_[y0 + 20 : y1 - 20, x0 + 20 : x1 - 20]
    assert np.array_equal(over.rgb[inner], alone.rgb[inner])
    assert not np.array_equal(under.rgb[inner], alone.rgb[inner])
    assert len(under.face_boxes) == 2


def test_face_is_inside_its_box(gl_renderer, two_people):
    empty = gl_renderer.render(replace(two_people, actors=()), 416, 240)
    bald = replace(two_people.actors[0], person=replace(sample_person(3, "ann"), glasses=None))
    bald = replace(bald, person=replace(bald.person, hair=replace(bald.person.hair, style="bald")), pose=Pose(size=0.4))
    frame = gl_renderer.render(replace(two_people, actors=(bald,)), 416, 240)
    painted = (frame.rgb != empty.rgb).any(2)
    x0, y0, x1, y1 = frame.face_boxes[0]
    rows, columns = np.nonzero(painted)
    assert abs(rows.min() - y0) <= 1
    above_chin = rows < y1 - 10
    assert abs(columns[above_chin].min() - x0) <= 1.5
    assert abs(columns[above_chin].max() + 1 - x1) <= 1.5


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_background_depends_on_seed_and_follows_the_camera(gl_renderer, kind):
    def render(seed, camera=None):
        scene = Scene((), Background(kind, seed), camera=camera or Camera())
        return gl_renderer.render(scene, 208, 120).rgb.astype(int)

    first = render(1)
    assert first.std() > 3
    assert np.array_equal(first, render(1))
    assert np.abs(first - render(2)).mean() > 3
    assert np.abs(first - render(1, Camera(dx=0.15, dy=0.1, zoom=1.2))).mean() > 0.3


def test_faces_differ_between_people_and_do_not_depend_on_clothes(gl_renderer):
    def render_face(person, clothes):
        actor = Actor(person, clothes, Pose(size=0.7, y=0.5))
        frame = gl_renderer.render(Scene((actor,), Background("gradient", 1)), 128, 128)
        return frame.rgb[40:90, 44:84].astype(int)

    ann, bob = sample_person(3, "ann"), sample_person(3, "bob")
    red, blue = sample_clothes(1, "a"), sample_clothes(2, "b")
    assert np.array_equal(render_face(ann, red), render_face(ann, blue))
    assert np.abs(render_face(ann, red) - render_face(bob, red)).mean() > 5
