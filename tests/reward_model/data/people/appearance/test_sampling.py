"""Random people as functions of seed and name; distances of look-alikes and blends of two people."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from reward_model.data.people.appearance.sampling import blend_people, sample_clothes, sample_person, similar_person


def test_same_seed_gives_same_person_and_clothes_in_another_process():
    code = "from reward_model.data.people.appearance.sampling import sample_person, sample_clothes\n"
    code += "print(sample_person(1, 'a'), sample_clothes(1, 'a'))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert output == f"{sample_person(1, 'a')} {sample_clothes(1, 'a')}"


def test_people_of_other_seeds_or_names_differ():
    assert len({sample_person(s, n).shape for s in range(4) for n in "abcd"}) == 16


def test_similar_person_differs_only_in_the_shape_of_the_face():
    person = sample_person(1, "a")
    original_shape = np.array(person.shape)
    assert similar_person(person, 5, 0.0, person.name) == person
    distances = [
        float(np.linalg.norm(np.array(similar_person(person, 5, d).shape) - original_shape))
        for d in (0.0, 0.3, 0.6, 1.0)
    ]
    assert distances == sorted(distances)
    assert distances[-1] > 8  # two unrelated samples of 64 deviates are about 11 apart
    impostor = similar_person(person, 5, 1.0)
    assert replace(impostor, name=person.name, shape=person.shape) == person
    with pytest.raises(ValueError, match="distance 2"):
        similar_person(person, 5, 2)


def test_blend_interpolates_people_and_changes_hair_style_at_one_half():
    a, b = sample_person(1, "a"), sample_person(1, "b")
    assert blend_people(a, b, 0.0) == a
    assert blend_people(a, b, 1.0) == b
    between = blend_people(a, b, 0.25)
    assert between.hair.style == a.hair.style
    assert blend_people(a, b, 0.75).hair.style == b.hair.style
    np.testing.assert_allclose(between.shape, 0.75 * np.array(a.shape) + 0.25 * np.array(b.shape))
    np.testing.assert_allclose(between.skin, 0.75 * np.array(a.skin) + 0.25 * np.array(b.skin))
    with pytest.raises(ValueError, match=r"t -0\.1"):
        blend_people(a, b, -0.1)
