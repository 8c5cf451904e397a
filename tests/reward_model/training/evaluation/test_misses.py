import numpy as np
from PIL import Image

from identity_reward_client.preference import Preference
from reward_model.data.records import Reference
from reward_model.training.evaluation.misses import draw_misses, worst_misses
from reward_model.training.evaluation.predictions import Prediction, VideoScore
from tests.reward_model.training.helpers.face_tracks import record
from tests.support.paths import EXAMPLES


def prediction(pair_id: str, a: float | None, b: float | None) -> Prediction:
    return Prediction(pair_id, *(VideoScore(x) if x is not None else VideoScore(None, "no_video") for x in (a, b)))


PAIRS = [
    record(str(n), label, videos=("clips/one_person.mp4", "clips/one_person_switched.mp4")).model_copy(
        update={"references": (Reference(path="references/anna.jpg", person="anna"),)}
    )
    for n, label in enumerate([Preference.A, Preference.A, Preference.B, Preference.TIE, Preference.B])
]
PREDICTIONS = [
    prediction("0", 1.0, 3.0), prediction("1", 2.0, 1.0), prediction("2", 5.0, 1.0), prediction("3", 9.0, 0.0),
    prediction("4", None, 1.0),
]  # fmt: skip


def test_misses_are_decided_pairs_in_the_order_of_their_error():
    assert worst_misses(PAIRS, PREDICTIONS) == [2, 0]
    assert worst_misses(PAIRS, PREDICTIONS, 1) == [2]


def test_picture_has_a_row_for_each_miss_and_is_not_written_without_one(tmp_path):
    path = tmp_path / "misses.jpg"
    draw_misses(path, EXAMPLES / "pairs.jsonl", PAIRS[1:2], PREDICTIONS[1:2])
    assert not path.exists()
    draw_misses(path, EXAMPLES / "pairs.jsonl", PAIRS, PREDICTIONS)
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"))
    assert pixels.shape[0] == 2 * (120 + 16 + 6)
    assert pixels[20:130].std() > 20
