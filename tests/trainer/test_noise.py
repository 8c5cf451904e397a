import torch

from trainer.noise import Noise

SHAPE = (2, 3)


def test_noise_depends_on_no_other_member():
    noise = Noise(1, 5)
    together = noise.initial(SHAPE, "a", range(4))
    assert torch.equal(together, torch.cat([noise.initial(SHAPE, "a", [member]) for member in range(4)]))
    of_step = noise.of_step(3, SHAPE, "a", range(4))
    assert torch.equal(of_step[2:], noise.of_step(3, SHAPE, "a", [2, 3]))


def test_every_name_has_noise_of_its_own():
    samples = [
        noise
        for seed in (1, 2)
        for update in (0, 1)
        for key in ("a", "b")
        for noise in (
            *Noise(seed, update).initial(SHAPE, key, range(2)),
            *Noise(seed, update).of_step(0, SHAPE, key, range(2)),
            *Noise(seed, update).of_step(1, SHAPE, key, range(2)),
            *Noise(seed, update).of_training(0, SHAPE, key, range(2)),
        )
    ]
    assert len({tuple(sample.flatten().tolist()) for sample in samples}) == len(samples)


def test_the_same_initial_noise_leaves_the_noise_of_steps_different():
    noise = Noise(1, 0)
    initial = noise.initial(SHAPE, "a", range(3), same=True)
    assert torch.equal(initial, initial[:1].expand_as(initial))
    first, second, _ = noise.of_step(0, SHAPE, "a", range(3))
    assert not torch.equal(first, second)


def test_noise_is_standard_normal():
    noise = Noise(3, 0).initial((50_000,), "a", range(2))
    assert noise.dtype == torch.float32
    assert abs(noise.mean().item()) < 0.01
    assert abs(noise.std().item() - 1) < 0.01
    assert abs((noise[0] * noise[1]).mean().item()) < 0.02
