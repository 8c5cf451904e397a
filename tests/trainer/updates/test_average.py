import pytest
import torch

from trainer.updates.average import WeightAverage, decay_of


def test_an_average_follows_its_parameters():
    parameter = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    average = WeightAverage({"w": parameter})
    parameter.data += 1
    average.update(0.75)
    assert average.tensors["w"].tolist() == [1.25, 2.25]
    average.update(0.0)
    assert torch.equal(average.tensors["w"], parameter)


def test_averages_are_in_place_inside_the_context_only():
    parameter = torch.nn.Parameter(torch.tensor([1.0]))
    average = WeightAverage({"w": parameter})
    parameter.data += 4
    with average.applied():
        assert parameter.item() == 1
    assert (parameter.item(), average.tensors["w"].item()) == (5, 1)
    with pytest.raises(RuntimeError), average.applied():
        raise RuntimeError
    assert parameter.item() == 5


def test_decay_rises_to_its_limit():
    assert [decay_of(n, 0.9) for n in (0, 1, 8)] == [0.1, 2 / 11, 0.5]
    assert decay_of(1000, 0.9) == 0.9
