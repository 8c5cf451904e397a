from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward_model.faces.recognition.matching import (
    VARIANTS,
    assign_frames,
    best_frame,
    cosines,
    match,
    match_frames,
    mean,
    minimum,
)


def unit(rows):
    rows = np.array(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_people_who_change_places_keep_their_faces():
    people_PD = unit([[1, 0, 0], [0, 1, 0]])
    frames = [people_PD, people_PD[::-1]]
    np.testing.assert_allclose(match_frames(frames, people_PD), 1.0, atol=1e-6)


def test_match_maximizes_the_sum_instead_of_matching_greedily():
    similarity_FP = np.array([[0.9, 0.8], [0.5, 0.1]])
    # greedy would take 0.9 + 0.1; the best sum is 0.5 + 0.8
    assert match(similarity_FP).tolist() == [1, 0]


def test_fewer_faces_than_people_leave_a_person_absent():
    similarity_TP = match_frames([unit([[0, 1, 0]]), np.empty((0, 3))], unit([[1, 0, 0], [0, 1, 0]]))
    assert np.isnan(similarity_TP[0, 0])
    assert similarity_TP[0, 1] == pytest.approx(1)
    assert np.isnan(similarity_TP[1]).all()


def test_more_faces_than_people_leave_faces_unmatched():
    faces_FD = unit([[0, 0, 1], [1, 0.1, 0], [0.1, 1, 0]])
    assert match(cosines(faces_FD, unit([[1, 0, 0], [0, 1, 0]]))).tolist() == [1, 2]


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_match_has_the_largest_sum_of_similarities(num_faces, num_people, seed):
    similarity_FP = np.random.default_rng(seed).uniform(-1, 1, (num_faces, num_people))
    face_of_P = match(similarity_FP)
    matched = [face for face in face_of_P if face >= 0]
    assert len(matched) == len(set(matched)) == min(num_faces, num_people)
    total = sum(similarity_FP[face, person] for person, face in enumerate(face_of_P) if face >= 0)
    small, large = sorted((num_faces, num_people))
    wide = similarity_FP if num_faces == small else similarity_FP.T
    best = max(sum(wide[i, j] for i, j in enumerate(chosen)) for chosen in permutations(range(large), small))
    assert total == pytest.approx(best)


def test_cosines_of_a_face_do_not_depend_on_other_faces():
    rng = np.random.default_rng(0)
    faces_FD, people_PD = unit(rng.normal(size=(7, 128))), unit(rng.normal(size=(3, 128)))
    alone = np.concatenate([cosines(faces_FD[f : f + 1], people_PD) for f in range(7)])
    assert (cosines(faces_FD, people_PD) == alone).all()


def test_variants_equal_values_computed_by_hand():
    absent = np.nan
    similarity_TP = np.array([[0.8, 0.2], [0.6, absent]])
    assert mean(similarity_TP) == pytest.approx((0.7 + 0.1) / 2)
    assert minimum(similarity_TP) == pytest.approx(0.1)
    assert best_frame(similarity_TP) == pytest.approx(0.5)
    assert all(summarize(np.full((3, 2), absent)) == 0 for summarize in VARIANTS.values())


def test_assigned_faces_are_those_whose_similarities_count():
    frames = [unit([[0, 1, 0], [1, 0.1, 0]]), np.empty((0, 3)), unit([[0, 1, 0]])]
    people_PD = unit([[1, 0, 0], [0, 1, 0]])
    face_of_TP = assign_frames(frames, people_PD)
    assert face_of_TP.tolist() == [[1, 0], [-1, -1], [-1, 0]]
    similarity_TP = match_frames(frames, people_PD)
    assert (np.isnan(similarity_TP) == (face_of_TP < 0)).all()
    for t, p in np.argwhere(face_of_TP >= 0):
        assert similarity_TP[t, p] == cosines(frames[t], people_PD)[face_of_TP[t, p], p]
