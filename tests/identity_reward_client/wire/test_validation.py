import pytest
from pydantic import ValidationError

from identity_reward_client.errors import InvalidRequest
from identity_reward_client.messages import GroupRequest, ScoreRequest
from identity_reward_client.wire.validation import explain, raise_invalid_request

VIDEO = {"data": b"mp4"}


def explained(kind, **fields):
    with pytest.raises(ValidationError) as caught:
        kind(**fields)
    return explain(caught.value)


def test_finding_has_its_path_and_text():
    assert explained(ScoreRequest, references=[{"data": b"jpg"}], video={"data": b"mp4", "fps": "fast"}).startswith(
        'video.fps: expected a number or "compat"'
    )


@pytest.mark.parametrize(
    ("references", "text"),
    [
        ([{"data": "%%%"}], "references.0.data: not base64"),
        ([{"data": "data:image/jpeg,x"}], "references.0.data: a data URL must be"),
        ([], "references: List should have at least 1 item"),
        ("sha256:1", "references: String should match pattern"),
        ([{"data": b"jpg"}, {}], "references.1: needs exactly one of data"),
    ],
    ids=["not base64", "data URL", "empty", "malformed id", "no content"],
)
def test_only_the_matching_branch_of_a_union_is_explained(references, text):
    message = explained(ScoreRequest, references=references, video=VIDEO)
    assert message.startswith(text)
    assert "valid string" not in message
    assert "valid list" not in message


def test_both_branches_are_explained_if_the_input_matches_neither():
    message = explained(ScoreRequest, references=5, video=VIDEO)
    assert "valid list" in message
    assert "valid string" in message


def test_many_findings_are_counted():
    message = explained(GroupRequest, references=[{"data": b"jpg"}], videos=[{"fps": 1}] * 5)
    assert message.count("needs exactly one") == 3
    assert message.endswith("and 2 more")


def test_values_of_the_input_are_not_shown():
    with pytest.raises(InvalidRequest) as caught, raise_invalid_request():
        ScoreRequest(references=[{"data": "anna-at-home%"}], video=VIDEO, prompt=["anna-at-home"])
    assert "anna-at-home" not in str(caught.value)
