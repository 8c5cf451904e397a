import pytest
import torch

from reward_model.training.errors import TrainingError
from reward_model.training.loop.processes import Processes, TrainedModule
from reward_model.training.loop.state import folders
from tests.support.small_disk import small_disk


def trained(seed):
    torch.manual_seed(seed)
    module = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(module.parameters(), 0.1)
    module(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return TrainedModule(module, (optimizer,))


def test_without_accelerate_there_is_one_process():
    processes = Processes()
    assert (processes.is_main, processes.count, processes.index) == (True, 1, 0)
    assert processes.any_of(True, False) == [True, False]


def test_kind_for_one_process_refuses_several_processes(monkeypatch):
    Processes().require_support("vision-pretraining")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(TrainingError, match="kind vision-pretraining trains in one process, and 2 were started"):
        Processes().require_support("vision-pretraining")


def test_saved_state_restores_weights_and_optimizer_moments(tmp_path):
    saved, other = trained(0), trained(1)
    for step in (1, 2, 3):
        folder = saved.save(tmp_path, step, {"clean": "hash"})
    assert [path.name for path in folders(tmp_path)] == ["step-00000002", "step-00000003"]
    assert other.restore(folder) == 3
    assert all(torch.equal(a, b) for a, b in zip(saved.module.parameters(), other.module.parameters(), strict=True))
    moments = [part.optimizers[0].state_dict()["state"] for part in (saved, other)]
    assert torch.equal(moments[0][0]["exp_avg"], moments[1][0]["exp_avg"])
    wider = TrainedModule(torch.nn.Linear(3, 4), saved.optimizers)
    with pytest.raises(TrainingError, match="is the state of another model: it differs in weight, bias"):
        wider.restore(folder)


def test_all_finite_is_false_for_an_infinite_parameter():
    state = trained(0)
    assert state.all_finite()
    state.module.weight.data[0, 0] = torch.inf
    assert not state.all_finite()


def test_saved_state_restores_further_tensors(tmp_path):
    saved, other = trained(0), trained(1)
    saved.extras = {"ema": {"weight": torch.ones(2, 3)}}
    other.extras = {"ema": {"weight": torch.zeros(2, 3)}}
    folder = saved.save(tmp_path, 1, {})
    other.restore(folder)
    assert torch.equal(other.extras["ema"]["weight"], torch.ones(2, 3))
    other.extras = {"ema": {"weight": torch.zeros(3, 3)}}
    with pytest.raises(TrainingError, match=r"ema\.safetensors is the state of another model"):
        other.restore(folder)


def test_a_full_disk_is_an_error_and_keeps_the_state_before(tmp_path):
    with small_disk(tmp_path / "disk", 1) as disk:
        before = trained(0).save(disk.folder, 1, {})
        disk.fill()
        with pytest.raises(TrainingError, match=r"step-00000002 can't be written: .*States before it are kept"):
            trained(0).save(disk.folder, 2, {})
        assert folders(disk.folder) == [before]
        disk.free()
        trained(0).save(disk.folder, 2, {})
