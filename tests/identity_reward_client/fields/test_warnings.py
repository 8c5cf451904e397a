import pytest
from pydantic import ValidationError

from identity_reward_client.errors import server_errors
from identity_reward_client.fields.warnings import ScoreWarning, WarningCode, check_codes
from identity_reward_client.messages import Scored
from identity_reward_client.proto import identity_reward_pb2 as pb2
from identity_reward_client.proto.codec import read_response
from tests.identity_reward_client.transports.servers.responses import SCORED


def test_codes_of_a_newer_server_are_kept_as_they_are():
    warning = {"code": "too_dark", "message": "mean level 3, below 10", "reference_index": None, "level": 3}
    scored = Scored.model_validate({"reward": 0.5, **SCORED, "warnings": [warning]})
    assert [w.model_dump() for w in scored.warnings] == [{k: v for k, v in warning.items() if k != "level"}]


def test_responses_of_an_older_server_have_no_warnings():
    assert (Scored(reward=0.5, **SCORED).warnings, Scored(reward=0.5, **SCORED).spread) == ([], None)
    older = pb2.Scored(reward=0.5, fps=8, num_source_frames=1, frame_indices=[0]).SerializeToString()
    assert read_response(Scored, older) == Scored(reward=0.5, **SCORED | {"fps": 8})


def test_a_warning_does_not_change():
    with pytest.raises(ValidationError, match="frozen"):
        ScoreWarning(code="still_video", message="x").code = "short_clip"


def test_unknown_codes_are_refused_with_the_list_of_codes():
    assert check_codes(("reference_copy", WarningCode.STILL_VIDEO)) == {"reference_copy", "still_video"}
    assert check_codes("reference_copy") == {"reference_copy"}
    assert check_codes(()) == frozenset()
    with pytest.raises(ValueError, match=r"'no_face'; there are reference_copy, still_video, .*short_clip"):
        check_codes(["reference_copy", "no_face"])


def test_no_error_has_the_code_of_a_warning():
    assert not {cls.code for cls in server_errors()} & set(WarningCode)
