"""Linking of synthetic faces: boxes with random embeddings, without networks."""

import numpy as np
import pytest

from reward_model.faces.recognition.alignment import TEMPLATE_52
from reward_model.faces.recognition.face import Face
from reward_model.faces.tracks.linking import TrackRule, distance_in_faces, link, nearness_of

RNG = np.random.Generator(np.random.Philox(7))
# three people whose embeddings are nearly orthogonal
WHO = [v / np.linalg.norm(v) for v in RNG.standard_normal((3, 128))]


def face(who: int, x: float, y: float = 100, side: float = 60, noise: float = 0.05) -> Face:
    embedding = WHO[who] + noise * RNG.standard_normal(128) / 128**0.5 * 3
    return Face(
        (x - side / 2, y - side / 2, side, side), 0.9, TEMPLATE_52.astype(np.float32),
        (embedding / np.linalg.norm(embedding)).astype(np.float32),
    )  # fmt: skip


def tracks_of(frames):
    """[(who, track)] of every face."""
    return [(who, number) for row, numbers in zip(frames, link([[f for _, f in row] for row in frames]), strict=True)
            for (who, _), number in zip(row, numbers, strict=True)]  # fmt: skip


def assert_one_track_each(frames, people):
    pairs = set(tracks_of(frames))
    assert len(pairs) == people
    assert len({who for who, _ in pairs}) == len({number for _, number in pairs}) == people


def test_two_people_who_cross_keep_their_tracks():
    frames = []
    for t in range(9):
        row = [(0, face(0, 100 + 60 * t)), (1, face(1, 580 - 60 * t))]
        frames.append(row if t % 2 else row[::-1])
    assert_one_track_each(frames, 2)


def test_person_hidden_for_a_while_returns_to_their_track():
    frames = []
    for t in range(9):
        row = [(0, face(0, 300, side=90))]
        if not 3 <= t <= 5:
            row.append((1, face(1, 120 + 45 * t)))
        frames.append(row)
    assert_one_track_each(frames, 2)


def test_gap_longer_than_the_limit_opens_another_track():
    visible = [face(0, 100)]
    within = [visible, *[[]] * 4, visible]
    beyond = [visible, *[[]] * 5, visible]
    assert link(within)[-1] == (0,)
    assert link(beyond)[-1] == (1,)
    assert link(beyond, TrackRule(max_gap_frames=5))[-1] == (0,)


def test_face_that_replaces_another_in_its_place_continues_the_track():
    assert link([[face(0, 200)], [face(0, 205)], [face(1, 207)], [face(1, 210)]]) == ((0,), (0,), (0,), (0,))


def test_other_face_in_another_place_opens_another_track():
    assert link([[face(0, 100)], [face(1, 400)]]) == ((0,), (1,))


def test_frames_without_faces_have_no_tracks():
    assert link([[], [face(0, 1)], []]) == ((), (0,), ())
    assert link([]) == ()


def test_nearness_is_relative_to_the_size_of_the_faces():
    small, large = face(0, 100, side=20), face(0, 200, side=200)
    assert nearness_of(small, small) == pytest.approx(1)
    assert nearness_of(face(0, 0, side=20), face(0, 20, side=20)) == pytest.approx(
        nearness_of(face(0, 0, side=200), face(0, 200, side=200))
    )
    assert distance_in_faces(small, large) == pytest.approx(0.5)
    assert nearness_of(small, large) < 0.1
