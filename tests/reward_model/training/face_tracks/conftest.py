from pathlib import Path

import pytest

from identity_reward_client.preference import Preference
from reward_model.data.records import Reference, write_pairs
from reward_model.training.configs.face_tracks import FaceTracksConfig, TrackPairs
from reward_model.training.face_tracks.task import train_face_tracks
from tests.reward_model.training.helpers.face_tracks import SMALL, RecordingProgress, record

EXAMPLES = Path(__file__).resolve().parents[4] / "examples"


@pytest.fixture(scope="module")
def examples(tmp_path_factory) -> Path:
    """A folder with pairs of the example clips: three decided pairs and a tie, and the same pairs as dev."""
    folder = tmp_path_factory.mktemp("examples")
    for name in ("clips", "references"):
        (folder / name).symlink_to(EXAMPLES / name)

    def pair(number, people, a, b, label):
        references = tuple(Reference(path=f"references/{person}.jpg", person=person) for person in people)
        videos = tuple(f"clips/{name}.mp4" for name in (a, b))
        return record(str(number), label, videos=videos).model_copy(update={"references": references})

    both, anna = ("bea", "carl"), ("anna",)
    pairs = [
        pair(0, both, "two_people", "two_people_one_missing", Preference.A),
        pair(1, both, "two_people_one_missing", "two_people_evening", Preference.B),
        pair(2, both, "two_people_evening", "two_people", Preference.TIE),
        pair(3, anna, "one_person_switched", "one_person", Preference.B),
    ]
    write_pairs(folder / "pairs.jsonl", pairs)
    # the same clips under other names of persons, as training and dev may not share persons
    write_pairs(folder / "dev.jsonl", [item.model_copy(update={"references": renamed(item)}) for item in pairs])
    return folder


def renamed(pair) -> tuple[Reference, ...]:
    return tuple(Reference(path=reference.path, person=f"{reference.person} of dev") for reference in pair.references)


@pytest.fixture(scope="module")
def config(examples) -> FaceTracksConfig:
    pairs, dev = (str(examples / f"{name}.jsonl") for name in ("pairs", "dev"))
    return SMALL.model_copy(
        update={"train": (TrackPairs(path=pairs),), "dev": (dev,), "cache": str(examples / "cache"), "epochs": 30}
    )


@pytest.fixture(scope="module")
def trained(config, examples) -> tuple[Path, RecordingProgress]:
    progress = RecordingProgress()
    return train_face_tracks(config, examples / "run", progress=progress), progress
