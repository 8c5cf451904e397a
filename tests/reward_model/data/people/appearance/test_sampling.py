"""Draws are functions of seed and name; impostors and blends lie where they say."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from reward_model.data.people.appearance.describe import describe
from reward_model.data.people.appearance.person import Clothes, Glasses, Hair
from reward_model.data.people.appearance.sampling import (
    blend,
    draw_background,
    draw_clothes,
    draw_light,
    draw_person,
    similar,
)


def test_the_same_seed_gives_the_same_person_in_another_process():
    code = "from reward_model.data.people.appearance.sampling import draw_person, draw_clothes, draw_light\n"
    code += "from reward_model.data.people.appearance.sampling import draw_background as b\n"
    code += "print(draw_person(1, 'a'), draw_clothes(1, 'a'), draw_light(1, 'a'), b(1, 'a'))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert told == f"{draw_person(1, 'a')} {draw_clothes(1, 'a')} {draw_light(1, 'a')} {draw_background(1, 'a')}"
    assert len({draw_person(s, n).shape for s in range(4) for n in "abcd"}) == 16


def test_an_impostor_keeps_the_looks_and_takes_another_face():
    person = draw_person(1, "a")
    own = np.array(person.shape)
    assert similar(person, 5, 0.0, person.name) == person
    away = [float(np.linalg.norm(np.array(similar(person, 5, d).shape) - own)) for d in (0.0, 0.3, 0.6, 1.0)]
    assert away == sorted(away)
    assert away[-1] > 8  # two unrelated draws of 64 deviates lie about 11 apart
    impostor = similar(person, 5, 1.0)
    assert replace(impostor, name=person.name, shape=person.shape) == person
    with pytest.raises(ValueError, match="distance 2"):
        similar(person, 5, 2)


def test_a_blend_ends_at_both_people_and_changes_hair_in_the_middle():
    a, b = draw_person(1, "a"), draw_person(1, "b")
    assert blend(a, b, 0.0) == a
    assert blend(a, b, 1.0) == b
    between = blend(a, b, 0.25)
    assert between.hair.style == a.hair.style
    assert blend(a, b, 0.75).hair.style == b.hair.style
    np.testing.assert_allclose(between.shape, 0.75 * np.array(a.shape) + 0.25 * np.array(b.shape))
    np.testing.assert_allclose(between.skin, 0.75 * np.array(a.skin) + 0.25 * np.array(b.skin))
    with pytest.raises(ValueError, match=r"t -0\.1"):
        blend(a, b, -0.1)


def test_a_person_in_words():
    person = replace(
        draw_person(1, "a"), gender=0.0, age=0.2, hair=Hair("short", 0.5, 0.5, (0.3, 0.2, 0.1)), beard=None,
        glasses=Glasses("round", 0.5, (0, 0, 0)),
    )  # fmt: skip
    clothes = Clothes((0.8, 0.1, 0.1), (1, 1, 1), "stripes", "crew")
    assert describe(person, clothes) == "a woman with short brown hair and glasses in a red striped shirt"


def test_a_shape_of_another_length_is_refused():
    with pytest.raises(ValueError, match="shape has 3 values; it takes 64"):
        replace(draw_person(1, "a"), shape=(0.0, 0.0, 0.0))
