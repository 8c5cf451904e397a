import json

import pytest

from reward_model.training.errors import TrainingError
from reward_model.training.loop.state import WHOLE, SavedProgress, require_format
from tests.reward_model.training.helpers.runs import run


@pytest.mark.parametrize(
    ("written", "kind", "message"),
    [
        ("FSDP", WHOLE, "was written under FSDP; resume with the same accelerate config: accelerate launch"),
        (WHOLE, "DEEPSPEED", "resume without DEEPSPEED"),
        ("FSDP", "DEEPSPEED", "was written under FSDP and can't be read under DEEPSPEED"),
    ],
)
def test_a_state_of_another_format_is_refused(tmp_path, written, kind, message):
    with pytest.raises(TrainingError) as error:
        require_format(tmp_path, SavedProgress(1, {}, written), kind)
    assert message in str(error.value)
    require_format(tmp_path, SavedProgress(1, {}, written), written)


def test_sharded_state_is_refused_by_a_single_process(four_pairs, tmp_path):
    out = tmp_path / "run"
    assert run(four_pairs, out, steps=2, micro_batch=4).exit_code == 0
    (out / "model").rename(tmp_path / "model")
    path = out / "state/step-00000002/state.json"
    values = json.loads(path.read_text())
    assert values["written"] == "whole"
    path.write_text(json.dumps({**values, "written": "FSDP"}))
    result = run(four_pairs, out, "--resume", steps=2)
    assert result.exit_code == 2
    assert "was written under FSDP; resume with the same accelerate config: accelerate launch" in result.output
    assert "remove" not in result.output
