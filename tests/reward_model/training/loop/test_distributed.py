import pytest

from reward_model.training.errors import TrainingError
from reward_model.training.loop.processes import deepspeed_values
from reward_model.training.loop.state import WHOLE, Progress, require_written


def test_what_deepspeed_is_told():
    assert deepspeed_values(4, 8, 0.5) == {
        "train_micro_batch_size_per_gpu": 4,
        "gradient_accumulation_steps": 8,
        "gradient_clipping": 0.5,
    }


@pytest.mark.parametrize(
    ("written", "kind", "message"),
    [
        ("FSDP", WHOLE, "was written under FSDP; resume with the same accelerate config: accelerate launch"),
        (WHOLE, "DEEPSPEED", "resume without DEEPSPEED"),
        ("FSDP", "DEEPSPEED", "was written under FSDP and can't be read under DEEPSPEED"),
    ],
)
def test_a_state_of_another_kind_of_run(tmp_path, written, kind, message):
    with pytest.raises(TrainingError) as error:
        require_written(tmp_path, Progress(1, {}, written), kind)
    assert message in str(error.value)
    require_written(tmp_path, Progress(1, {}, written), written)
