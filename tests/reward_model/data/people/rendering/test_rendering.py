"""Two renderers, one picture."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from reward_model.data.people.rendering.factory import open_renderer
from reward_model.data.people.appearance.sampling import draw_clothes, draw_light, draw_person
from reward_model.data.people.scenes.scene import BACKGROUNDS, Actor, Background, Camera, Pose, Scene


@pytest.mark.parametrize("kind", ["gl", "numpy"])
def test_the_same_scene_gives_the_same_pixels_in_another_process(kind, two_people):
    code = f"""
import hashlib
from reward_model.data.people.draw import draw_clothes, draw_person
from reward_model.data.people.renderer import open_renderer
from reward_model.data.people.scene import Actor, Background, Pose, Scene
actor = Actor(draw_person(3, "ann"), draw_clothes(3, "ann"), Pose(size=0.5))
renderer = open_renderer("{kind}")
frame = renderer.render(Scene((actor,), Background("bokeh", 2)), 160, 120)
print(hashlib.sha256(frame.rgb.tobytes()).hexdigest(), frame.heads)
"""
    told = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    assert told[0] == told[1]


def test_gl_and_numpy_agree(gl, numpy_renderer, two_people):
    scene = replace(two_people, camera=Camera(dx=0.02, zoom=1.1, roll=3), light=draw_light(3, "a"))
    fast, slow = gl.render(scene, 416, 240), numpy_renderer.render(scene, 416, 240)
    assert fast.rgb.shape == slow.rgb.shape == (240, 416, 3)
    assert fast.rgb.dtype == slow.rgb.dtype == np.uint8
    assert fast.heads == slow.heads
    away = np.abs(fast.rgb.astype(int) - slow.rgb.astype(int))
    assert away.mean() < 0.5
    assert (away.max(2) > 24).mean() < 0.002  # a few pixels of edges


def test_a_later_actor_covers_an_earlier_one_whatever_the_sizes(gl, two_people):
    ann, bob = (replace(actor, pose=Pose(size=0.4)) for actor in two_people.actors)
    alone = gl.render(replace(two_people, actors=(bob,)), 416, 240)
    over = gl.render(replace(two_people, actors=(ann, bob)), 416, 240)
    under = gl.render(replace(two_people, actors=(bob, ann)), 416, 240)
    x0, y0, x1, y1 = (int(c) for c in over.heads[1])
    inner = np.s_[y0 + 20 : y1 - 20, x0 + 20 : x1 - 20]
    assert np.array_equal(over.rgb[inner], alone.rgb[inner])
    assert not np.array_equal(under.rgb[inner], alone.rgb[inner])
    assert len(under.heads) == 2


def test_the_head_is_inside_its_box(gl, two_people):
    empty = gl.render(replace(two_people, actors=()), 416, 240)
    bald = replace(two_people.actors[0], person=replace(draw_person(3, "ann"), glasses=None))
    bald = replace(bald, person=replace(bald.person, hair=replace(bald.person.hair, style="bald")), pose=Pose(size=0.4))
    frame = gl.render(replace(two_people, actors=(bald,)), 416, 240)
    painted = (frame.rgb != empty.rgb).any(2)
    x0, y0, x1, y1 = frame.heads[0]
    rows, columns = np.nonzero(painted)
    assert abs(rows.min() - y0) <= 1
    above_chin = rows < y1 - 10
    assert abs(columns[above_chin].min() - x0) <= 1.5
    assert abs(columns[above_chin].max() + 1 - x1) <= 1.5


@pytest.mark.parametrize("kind", BACKGROUNDS)
def test_backgrounds_differ_by_seed_and_follow_the_camera(gl, kind):
    def shot(seed, camera=None):
        return gl.render(Scene((), Background(kind, seed), camera=camera or Camera()), 208, 120).rgb.astype(int)

    first = shot(1)
    assert first.std() > 3
    assert np.array_equal(first, shot(1))
    assert np.abs(first - shot(2)).mean() > 3
    assert np.abs(first - shot(1, Camera(dx=0.15, dy=0.1, zoom=1.2))).mean() > 0.3


def test_people_look_different_and_clothes_change_no_face(gl):
    def face(person, clothes):
        actor = Actor(person, clothes, Pose(size=0.7, y=0.5))
        frame = gl.render(Scene((actor,), Background("gradient", 1)), 128, 128)
        return frame.rgb[40:90, 44:84].astype(int)

    ann, bob = draw_person(3, "ann"), draw_person(3, "bob")
    red, blue = draw_clothes(1, "a"), draw_clothes(2, "b")
    assert np.array_equal(face(ann, red), face(ann, blue))
    assert np.abs(face(ann, red) - face(bob, red)).mean() > 5


def test_without_egl_auto_falls_back_and_says_so(tmp_path):
    code = """
import warnings
from reward_model.data.people.renderer import RendererError, open_renderer
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    print(open_renderer("auto").kind)
print(told[0].message)
try:
    open_renderer("gl")
except RendererError as error:
    print("refused:", error)
"""
    nowhere = {"__EGL_VENDOR_LIBRARY_DIRS": str(tmp_path), "PYTHONPATH": ":".join(p for p in sys.path if p)}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=nowhere).stdout
    kind, message, refused = told.splitlines()
    assert kind == "numpy"
    assert "libegl1" in message
    assert "drawn in numpy" in message
    assert refused.startswith("refused: no OpenGL 3.3 through EGL here")


def test_auto_takes_gl_where_it_works(gl):
    renderer = open_renderer("auto")
    assert renderer.kind == "gl"
    renderer.close()
