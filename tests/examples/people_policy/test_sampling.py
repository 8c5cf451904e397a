import torch

from examples.people_policy.sampling import sample_latents


class StraightPolicy:
    """Its flow leads every noise to `target` in straight lines."""

    network = torch.nn.Identity()
    target = torch.tensor([1.0, -2.0])

    def velocity(self, network, latents_BX, timestep, conditioning, guidance):
        return (latents_BX - self.target) / (timestep / 1000)


def test_a_straight_flow_is_followed_to_its_end():
    noise = torch.randn(5, 2, dtype=torch.float64)
    latents = sample_latents(StraightPolicy(), {}, noise, num_steps=10, shift=1.0)
    torch.testing.assert_close(latents, StraightPolicy.target.double().expand(5, 2), atol=1e-9, rtol=0)
