"""Ground truth of faces against rendered images."""

import json

import numpy as np
import pytest

from reward_model.data.people.appearance.person_code import CODE_SIZE, person_code
from reward_model.data.people.appearance.sampling import sample_person, similar_person
from reward_model.data.people.rendering.factory import open_renderer
from reward_model.data.people.scenarios.options import PeopleOptions
from reward_model.training.errors import TrainingError
from reward_model.training.supervision.ground_truth import FACE_CODE_SIZE, YAW, GroundTruth, RenderedFace


def write_world(folder, **changes):
    arguments = {**PeopleOptions(pairs=6, seed=3).to_json(), "drawn_by": "gl", **changes}
    (folder / "world.json").write_text(json.dumps({"format": 1, "arguments": arguments}))


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    return GroundTruth(folder)


def overlap(a, b):
    """Intersection over union."""
    low, high = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    inside = np.prod(np.clip(high - low, 0, None))
    return inside / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - inside)


def test_face_boxes_overlap_those_of_the_renderer(truth):
    renderer = open_renderer("gl")
    overlaps = []
    for number in range(4):
        scenario = truth.scenario(f"3-{number:06d}")
        for plan in scenario.clips[:2]:
            scene, _ = plan.scene(5)
            rendered_boxes = renderer.render(scene, plan.width, plan.height).face_boxes
            faces = truth.faces(scenario, plan.name, (5,))
            assert len(faces) == len(rendered_boxes)
            sides = np.array([plan.width, plan.height] * 2)
            overlaps += [
                overlap(face.box * sides, np.array(rendered))
                for face, rendered in zip(faces, rendered_boxes, strict=True)
                if rendered
            ]
    renderer.close()
    assert min(overlaps) > 0.55
    assert np.mean(overlaps) > 0.75


def test_faces_match_the_reference_of_their_person(truth):
    """In clips without corruption each face matches its reference; with `wrong-person` no face does."""
    modes = set()
    for number in range(30):
        scenario = truth.scenario(f"3-{number:06d}")
        references = truth.portraits(scenario)
        for plan in scenario.clips:
            matches = [face.reference for face in truth.faces(scenario, plan.name, (0, 5))]
            if not plan.severities:
                assert sorted(matches) == list(range(len(references)))
                codes = [face.code for face in truth.faces(scenario, plan.name, (0, 5))]
                persons = [references[n].code[:CODE_SIZE] for n in matches]
                assert all(
                    np.allclose(code[:CODE_SIZE], expected) for code, expected in zip(codes, persons, strict=True)
                )
                assert not np.stack(codes)[:, -3:].any()
            if set(plan.severities) == {"wrong-person"}:
                assert set(matches) == {None}
                modes.add("wrong-person")
    assert modes


def test_codes_contain_a_corruption_only_in_its_frames(truth):
    """Codes of faces that are blurred or warped in a part of the clip, and of clips at lower resolution."""
    kinds = set()
    for number in range(60):
        scenario = truth.scenario(f"3-{number:06d}")
        for plan in scenario.clips:
            if set(plan.severities) not in ({"face-damage"}, {"resolution"}):
                continue
            frames = range(plan.num_frames)
            corruptions = [face.code[-3:] for frame in frames for face in truth.faces(scenario, plan.name, (frame,))]
            blur, warp, detail = np.stack(corruptions).T
            if "resolution" in plan.severities:
                assert detail.min() == pytest.approx(0.6 * 5 * plan.severities["resolution"], rel=1e-5)
                kinds.add("detail")
            for damage in plan.damage:
                values = blur if damage.kind == "blur" else warp
                assert values.max() == pytest.approx(4 * damage.strength, rel=1e-5)
                whole = damage.span[0] <= 0 and damage.span[1] >= 1 and len(plan.damage) == len(plan.parts)
                assert whole or values.min() == 0
                kinds.add(damage.kind)
    assert kinds == {"detail", "blur", "warp"}


def test_person_codes_have_about_unit_variance_and_differ_between_look_alikes():
    people = [sample_person(1, f"p{n}") for n in range(200)]
    codes = np.stack([person_code(person) for person in people])
    assert codes.shape == (200, CODE_SIZE)
    assert np.abs(codes).max() < 6
    assert 0.5 < codes.std(0).mean() < 1.2
    alike = person_code(similar_person(people[0], 7, 1.0))
    assert np.abs(alike - codes[0]).mean() > 0.4


@pytest.mark.parametrize("name", ["4-000001", "000001", "3-x", "+".join(["a", "b"])])
def test_scenarios_of_another_data_set_are_refused(truth, name):
    with pytest.raises(TrainingError, match=r"holds scenarios of seed 3"):
        truth.scenario(name)


def test_clip_outside_the_scenario_is_refused(truth):
    with pytest.raises(TrainingError, match=r"scenario 3-000001 has no clip 'other'"):
        truth.faces(truth.scenario("3-000001"), "other", (0,))


@pytest.mark.parametrize(("changes", "message"), [({"photos": True}, "photographs"), (None, "has no world.json")])
def test_folder_without_rendered_people_is_refused(tmp_path, changes, message):
    if changes:
        write_world(tmp_path, **changes)
    with pytest.raises(TrainingError, match=message):
        GroundTruth(tmp_path)


def test_code_of_a_mirrored_face_has_the_opposite_yaw():
    face = RenderedFace(np.array([0, 0, 1, 1], np.float32), np.arange(FACE_CODE_SIZE, dtype=np.float32), 0)
    changed = np.flatnonzero(face.mirrored_code != face.code)
    assert changed.tolist() == [YAW]
    assert face.mirrored_code[YAW] == -face.code[YAW]
