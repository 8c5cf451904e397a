import io

import numpy as np
import pytest
from PIL import Image

from identity_reward_client.fields.warnings import ScoreWarning
from reward_model.faces.recognition.face import Face
from reward_model.faces.recognition.reference_faces import ReferenceFace, ReferenceFaces
from reward_model.faces.warnings.references import reference_warnings
from reward_model.types import ReferenceSet
from tests.support.paths import EXAMPLES, ROOT

# the clear, upright face of a portrait
LANDMARKS_52 = np.array([[40, 50], [80, 50], [60, 72], [45, 95], [75, 95]], np.float32)


@pytest.fixture(scope="module")
def read(scorer):
    faces = ReferenceFaces(scorer.reader)
    return lambda *images: faces.read(ReferenceSet(tuple(np.asarray(image) for image in images)))


def face(landmarks_52=LANDMARKS_52, score: float = 0.95, side_px: float = 120.0) -> Face:
    embedding_D = np.zeros(4, np.float32)
    embedding_D[0] = 1
    return Face((10.0, 20.0, side_px, side_px), score, landmarks_52, embedding_D)


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file)


def anna() -> Image.Image:
    return Image.open(EXAMPLES / "references/anna.jpg").convert("RGB")


def summary(warnings: list[ScoreWarning]) -> list[tuple[str, int | None]]:
    return [(warning.code, warning.reference_index) for warning in warnings]


@pytest.mark.parametrize(
    "variant",
    [
        lambda image: jpeg(image, 30),
        lambda image: image.resize((256, 256)),
        lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    ],
)
def test_a_copy_of_a_reference_is_the_same_person(read, variant):
    bea = Image.open(EXAMPLES / "references/bea.jpg").convert("RGB")
    warnings = reference_warnings(read(anna(), bea, variant(anna())))
    assert summary(warnings) == [("duplicate_references", 2)]
    assert warnings[0].message.startswith("references 0 and 2 seem to show the same person")
    assert warnings[0].message.endswith("(threshold 0.80)")


def test_different_people_have_no_warnings(read, references):
    assert reference_warnings(read(*references(*range(1, 9)).images)) == []


def test_references_of_the_held_out_casts_have_no_warnings(read):
    folder = ROOT / "tests/held_out/references"
    casts = {path.name[:9] for path in folder.glob("*.png")}
    assert len(casts) == 10
    for cast in casts:
        images = [Image.open(path).convert("RGB") for path in sorted(folder.glob(f"{cast}*.png"))]
        assert reference_warnings(read(*images)) == [], cast


def test_a_sideways_photograph_is_uncertain(read):
    (warning,) = reference_warnings(read(anna().rotate(90)))
    assert (warning.code, warning.reference_index) == ("uncertain_reference_face", 0)
    assert "when it is rotated by 90 degrees clockwise" in warning.message
    assert "pixels around (" in warning.message


def test_the_largest_of_several_faces_is_uncertain(read):
    both = Image.new("RGB", (900, 512))
    both.paste(Image.open(EXAMPLES / "references/bea.jpg").resize((300, 300)), (600, 0))
    both.paste(anna(), (0, 0))
    (warning,) = reference_warnings(read(both))
    assert "it is the largest of 2 faces, where 1 is expected" in warning.message


def test_a_small_face_is_uncertain(read):
    assert summary(reference_warnings(read(anna().resize((128, 128))))) == []
    (warning,) = reference_warnings(read(anna().resize((64, 64))))
    assert "pixels, below 40" in warning.message


def test_a_profile_and_a_low_score_are_uncertain():
    assert reference_warnings([ReferenceFace(face(), 1)]) == []
    profile = LANDMARKS_52.copy()
    profile[2, 0] += 20
    (warning,) = reference_warnings([ReferenceFace(face(profile, score=0.8), 1)])
    assert warning.message == (
        "the face of reference 0 is uncertain: the one of 120 x 120 pixels around (70, 80) was taken, and its detector "
        "score is 0.80, below 0.85, and it is turned away: its nose is off by 0.50 eye distances, above 0.40"
    )
