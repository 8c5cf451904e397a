import numpy as np

from examples.people_policy.ground_truth import true_code
from examples.people_policy.scene import (
    CLIP_SIZE,
    NUM_KEY_FRAMES,
    clip_scenes,
    frame_codes,
    sample_portraits,
    scene_seed,
)
from reward_model.data.people.appearance.person_code import person_code, person_from_code


def cast_codes(*names):
    return np.stack([np.repeat(true_code(1, name)[None], NUM_KEY_FRAMES, 0) for name in names])


def test_frames_lie_between_key_frames():
    codes_PKC = np.arange(NUM_KEY_FRAMES, dtype=float)[None, :, None]
    np.testing.assert_allclose(frame_codes(codes_PKC, 7)[0, :, 0], [0, 0.5, 1, 1.5, 2, 2.5, 3])
    assert frame_codes(codes_PKC, 8)[0, -1, 0] == NUM_KEY_FRAMES - 1


def test_a_scene_shows_the_people_of_the_codes_in_their_places():
    codes = cast_codes("anna", "ben")
    scenes = clip_scenes(scene_seed("a"), codes)
    assert len(scenes) == CLIP_SIZE.num_frames
    for scene in scenes:
        for actor, code in zip(scene.actors, codes[:, 0], strict=True):
            np.testing.assert_allclose(person_code(actor.person), code, atol=1e-5)
        assert scene.actors[0].pose.x < scene.actors[1].pose.x


def test_exchanged_codes_exchange_faces_and_leave_clothes_places_and_builds():
    codes = cast_codes("anna", "ben")
    exchanged = codes.copy()
    exchanged[:, 2:] = codes[::-1, 2:]
    right, wrong = (clip_scenes(scene_seed("a"), values)[-1].actors for values in (codes, exchanged))
    for n in range(2):
        assert wrong[n].person.shape == right[1 - n].person.shape
        assert (wrong[n].clothes, wrong[n].pose, wrong[n].body) == (right[n].clothes, right[n].pose, right[n].body)


def test_the_key_fixes_the_scene_and_portraits_wear_its_clothes():
    codes = cast_codes("anna", "ben")
    assert clip_scenes(scene_seed("a"), codes) == clip_scenes(scene_seed("a"), codes)
    assert clip_scenes(scene_seed("a"), codes)[0].background != clip_scenes(scene_seed("b"), codes)[0].background
    portraits = sample_portraits(scene_seed("a"), [person_from_code(code, "") for code in codes[:, 0]])
    actors = clip_scenes(scene_seed("a"), codes)[0].actors
    assert [portrait.clothes for portrait in portraits] == [actor.clothes for actor in actors]
