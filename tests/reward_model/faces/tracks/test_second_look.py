import numpy as np

from reward_model.faces.recognition.alignment import TEMPLATE_52
from reward_model.faces.recognition.detection import Detection
from reward_model.faces.recognition.face import Face
from reward_model.faces.tracks.linking import TrackRule
from reward_model.faces.tracks.second_look import second_look

RULE = TrackRule()


def direction(index: int) -> np.ndarray:
    return np.eye(8, dtype=np.float32)[index]


def face(x: float, person: int = 0, score: float = 0.9) -> Face:
    return Face((x, 100.0, 80.0, 100.0), score, TEMPLATE_52.astype(np.float32), direction(person))


def box(x: float) -> Detection:
    return Detection((x, 100.0, 80.0, 100.0), 0.55, TEMPLATE_52.astype(np.float32))


def look(frames, faint, person: int = 0):
    """(added faces of each frame, the boxes that were embedded)."""
    embedded = []

    def embed(t, detection):
        embedded.append((t, detection.box_xywh[0]))
        return Face(detection.box_xywh, detection.score, detection.landmarks_52, direction(person))

    return [[added.box_xywh[0] for added in faces] for faces in second_look(frames, faint, RULE, embed)], embedded


def test_a_faint_box_in_the_place_of_a_missing_face_is_added():
    assert look([[face(100)], [], [face(110)]], [[], [box(104)], []]) == ([[], [104], []], [(1, 104)])


def test_the_box_nearest_to_the_track_is_taken_and_others_are_not_embedded():
    added, embedded = look([[face(100)], []], [[], [box(400), box(102), box(150)]])
    assert added == [[], [102]]
    assert embedded == [(1, 102)]


def test_without_a_track_or_beside_its_face_nothing_is_embedded():
    assert look([[], [face(100)]], [[box(100)], [box(130)]]) == ([[], []], [])


def test_a_box_of_something_else_is_not_added():
    added, embedded = look([[face(100)], []], [[], [box(100)]], person=3)
    assert added == [[], []]
    assert embedded == [(1, 100)]


def test_a_track_that_is_closed_gets_no_more_faces():
    gap = RULE.max_gap_frames + 1
    frames = [[face(100)], *[[] for _ in range(gap)]]
    assert look(frames, [*[[] for _ in range(gap)], [box(100)]])[0][-1] == [100]
    assert look([*frames, []], [*[[] for _ in range(gap + 1)], [box(100)]])[0][-1] == []


def test_one_box_is_the_face_of_one_track():
    frames = [[face(100), face(130, person=1)], []]
    added, _ = look(frames, [[], [box(110)]])
    assert added == [[], [110]]
