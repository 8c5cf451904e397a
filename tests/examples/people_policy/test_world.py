import numpy as np

from examples.people_policy.ground_truth import judge, sample_codes
from examples.people_policy.world import NUM_BLENDED, SHARES, blend, is_man, sample_casts, sample_clips, sample_kinds
from reward_model.data.people.appearance.person_code import person_code
from reward_model.data.people.appearance.sampling import blend_people, sample_person


def test_shares_sum_to_one_and_kinds_follow_them():
    assert abs(sum(SHARES.values()) - 1) < 1e-9
    kinds = sample_kinds(np.random.default_rng(0), 4000)
    for kind, share in SHARES.items():
        assert abs((kinds == kind).mean() - share) < 0.03


def test_others_are_of_the_same_sex_and_in_no_clip_of_their_own():
    codes = sample_codes(1, 40)
    casts = sample_casts(np.random.default_rng(0), codes, 200, 2)
    assert (is_man(casts.own_BPC) == is_man(casts.others_BPC)).all()
    assert (np.abs(casts.own_BPC[:, :, None] - casts.others_BPC[:, None]).max(-1) > 0).all()
    assert (casts.own_BP[:, 0] != casts.own_BP[:, 1]).all()


def test_a_mixture_of_codes_is_the_code_of_a_mixture():
    a, b = sample_person(1, "a"), sample_person(1, "b")
    for share in (0.2, 0.7):
        mixed = blend(person_code(a), person_code(b), np.array([share]))
        np.testing.assert_allclose(mixed, person_code(blend_people(a, b, share)), atol=1e-5)
    assert NUM_BLENDED == 81


def test_every_kind_of_clip_is_what_its_name_says():
    rng = np.random.default_rng(0)
    casts = sample_casts(rng, sample_codes(2, 100), 60, 2)
    for kind in SHARES:
        clips = sample_clips(rng, casts, np.repeat(kind, 60), 4)
        assert clips.shape == (60, 2, 4, casts.own_BPC.shape[-1])
        assert clips.dtype == np.float32
        # a mixture far from the middle counts as the nearer person
        least = 0.4 if kind == "blended" else 0.8
        assert (judge(clips, casts.own_BPC).kinds == kind).mean() > least


def test_a_cast_of_one_is_taken_over_by_another_person_instead_of_exchanged():
    rng = np.random.default_rng(0)
    casts = sample_casts(rng, sample_codes(2, 100), 60, 1)
    truth = judge(sample_clips(rng, casts, np.repeat("exchanged", 60), 4), casts.own_BPC)
    assert (truth.states[:, 0, 0] == "right").all()
    assert (truth.states[:, 0, -1] != "right").mean() > 0.9
