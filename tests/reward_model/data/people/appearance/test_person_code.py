import numpy as np

from reward_model.data.people.appearance.person_code import CODE_SIZE, person_code, person_from_code
from reward_model.data.people.appearance.sampling import sample_person


def test_person_codes_have_about_unit_deviation_and_are_distinct():
    codes = np.stack([person_code(sample_person(1, f"p{n}")) for n in range(100)])
    assert codes.shape == (100, CODE_SIZE)
    assert codes.dtype == np.float32
    assert len(np.unique(codes, axis=0)) == 100
    assert 0.5 < codes.std() < 1.5


def test_a_code_gives_its_person_again():
    for n in range(200):
        person = sample_person(2, f"p{n}")
        again = person_from_code(person_code(person), person.name)
        np.testing.assert_allclose(again.shape, person.shape, atol=1e-6)
        for field in ("gender", "age", "weight", "brows", "skin", "eyes", "lips"):
            np.testing.assert_allclose(getattr(again, field), getattr(person, field), atol=1e-6)
        assert again.hair.style == person.hair.style
        np.testing.assert_allclose(again.hair.colour, person.hair.colour, atol=1e-6)
        assert (again.beard and again.beard.style) == (person.beard and person.beard.style)
        assert (again.glasses is None) == (person.glasses is None)
        np.testing.assert_allclose(person_code(again), person_code(person_from_code(person_code(again), "")), atol=1e-5)


def test_any_numbers_are_a_person_within_the_ranges():
    rng = np.random.default_rng(0)
    for scale in (0.5, 3.0, 100.0):
        person = person_from_code(rng.normal(size=CODE_SIZE) * scale, "anybody")
        numbers = (person.gender, person.age, person.weight, person.brows, person.freckles, *person.skin, *person.lips)
        assert all(0 <= value <= 1 for value in (*numbers, person.hair.length, person.hair.fringe))
        assert max(map(abs, person.shape)) <= 2.5


def test_styles_are_the_nearest_ones():
    bald = person_code(sample_person(2, "p1"))
    bald[-14:-5] = 0.0
    bald[-14] = 0.4
    bald[-5:-1] = (0.9, 0.0, 0.0, 0.0)
    bald[-1] = 1.1
    person = person_from_code(bald, "bald")
    assert (person.hair.style, person.beard) == ("bald", None)
    assert person.glasses is not None
