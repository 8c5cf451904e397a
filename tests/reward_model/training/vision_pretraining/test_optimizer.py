import torch

from reward_model.training.configs.files import read_config
from reward_model.training.models.initial import initial_model
from reward_model.training.supervision.ground_truth import FACE_CODE_SIZE
from reward_model.training.vision_pretraining.losses import FaceReadout
from reward_model.training.vision_pretraining.optimizer import build_optimizers


def test_muon_trains_the_matrices_of_blocks_and_adamw_the_rest():
    config = read_config("compact-vision", ["model.backbone=tiny"])
    readout = FaceReadout(initial_model(config.model, 0)[0], FACE_CODE_SIZE)
    adamw, muon = build_optimizers(readout, config)
    names = {id(parameter): name for name, parameter in readout.named_parameters()}
    matrices = [parameter for group in muon.param_groups for parameter in group["params"]]
    assert isinstance(muon, torch.optim.Muon)
    assert all(names[id(parameter)].startswith("tower.blocks.") and parameter.ndim == 2 for parameter in matrices)
    rest = [parameter for group in adamw.param_groups for parameter in group["params"]]
    assert len(matrices) + len(rest) == len(names)
    assert [group["base_lr"] for group in (*adamw.param_groups, *muon.param_groups)] == [config.rate, config.muon_rate]
    (alone,) = build_optimizers(readout, config.model_copy(update={"muon_rate": None}))
    assert len(alone.param_groups[0]["params"]) == len(names)
