from dataclasses import replace

from reward_model.data.people.appearance.describe import describe
from reward_model.data.people.appearance.person import Clothes, Glasses, Hair
from reward_model.data.people.appearance.sampling import sample_person


def test_description_names_hair_glasses_and_clothes():
    person = replace(
        sample_person(1, "a"), gender=0.0, age=0.2, hair=Hair("short", 0.5, 0.5, (0.3, 0.2, 0.1)), beard=None,
        glasses=Glasses("round", 0.5, (0, 0, 0)),
    )  # fmt: skip
    clothes = Clothes((0.8, 0.1, 0.1), (1, 1, 1), "stripes", "crew")
    assert describe(person, clothes) == "a woman with short brown hair and glasses in a red striped shirt"
