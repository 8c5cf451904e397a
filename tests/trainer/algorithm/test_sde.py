from math import sqrt

import pytest
import torch

from trainer.algorithm.schedule import sigma_schedule
from trainer.algorithm.sde import log_prob, masked_mean, transition

# of a model that knows its data, N(0, s0^2), exactly: (steps, s0) -> standard deviation of what it samples, by the
# recursion of the variance, on Wan's table with shift 3. The exact answer is s0
CLOSED_FORM = {
    (25, 1.0): {"ode": 0.9305, "release": 0.9381, "flow": 2.7184, "dance": 0.9328, "cps": 0.7453},
    (25, 0.5): {"ode": 0.4448, "release": 0.4536, "flow": 1.0893, "dance": 0.4509, "cps": 0.3579},
    (25, 0.1): {
        "ode": 0.0589, "release": 0.0695, "flow": 0.1078, "dance": 0.1041, "cps": 0.0536, "release, last ode": 0.0639
    },
    (10, 1.0): {"ode": 0.8335, "release": 0.8528, "flow": 6.86, "dance": 0.8392, "cps": 0.6835},
    (10, 0.1): {
        "ode": 0.0283, "release": 0.1203, "flow": 0.332, "dance": 0.1507, "cps": 0.0279, "release, last ode": 0.0321
    },
    (50, 1.0): {"ode": 0.9648, "release": 0.9686, "flow": 1.505, "dance": 0.9660, "cps": 0.7705},
}  # fmt: skip
RULES = {"release": "identity-grpo-release", "flow": "flow-grpo", "dance": "dance-grpo"}
ROWS = [
    pytest.param(steps, s0, rule, std, id=f"{steps} steps, {s0}, {rule}")
    for (steps, s0), row in CLOSED_FORM.items()
    for rule, std in row.items()
]


def exact_velocity(x, sigma, s0):
    return x * (sigma - (1 - sigma) * s0**2) / (sigma**2 + (1 - sigma) ** 2 * s0**2)


def final_std(schedule, s0, rule, last=None, largest_sigma=None):
    """By recursion of the variance; the mean of a step is linear in x."""
    sigma_1 = schedule.sigmas[1].item() if largest_sigma is None else largest_sigma
    variance = 1.0
    for k in range(len(schedule)):
        sigma, sigma_next = schedule.step(k)
        one = torch.ones(1, 1)
        of_step = rule if last is None or k + 1 < len(schedule) else last
        result = transition(one, exact_velocity(one, sigma, s0), sigma, sigma_next, of_step, sigma_1=sigma_1)
        variance = result.mean.item() ** 2 * variance + result.std**2
    return sqrt(variance)


@pytest.mark.parametrize(("steps", "s0", "name", "std"), ROWS)
def test_spread_of_exact_models_equals_the_closed_form(steps, s0, name, std):
    rule, _, last = name.partition(", last ")
    # the table has flow-grpo without its bound on sigma
    largest = 1 - 1e-9 if rule == "flow" else None
    got = final_std(sigma_schedule("wan", steps, 3.0), s0, RULES.get(rule, rule), last or None, largest)
    decimals = len(str(std).partition(".")[2])
    assert round(got, decimals) == std


@pytest.mark.parametrize("name", ["unipc", "wan", "flow_match_euler"])
def test_the_first_step_of_flow_grpo_does_not_explode(name):
    schedule = sigma_schedule(name, 25, 3.0)
    assert final_std(schedule, 1.0, "flow-grpo") == pytest.approx(1.0, abs=0.06)
    first, second = (
        transition(
            torch.zeros(1, 1), torch.zeros(1, 1), *schedule.step(k), "flow-grpo", sigma_1=schedule.step(1)[0]
        ).std
        for k in (0, 1)
    )
    assert first < second


def test_the_paper_adds_a_little_more_noise_than_the_release():
    x = torch.zeros(1, 4)
    paper = transition(x, x, 0.5, 0.4, "identity-grpo", sigma_1=0.986)
    assert paper.std == pytest.approx(0.5 * sqrt(0.1))
    assert transition(x, x, 0.5, 0.4, "identity-grpo-release", sigma_1=0.986).std == pytest.approx(0.986 * paper.std)
    assert transition(x, x, 0.5, 0.4, "identity-grpo", sigma_1=0.986, level=0.5).std == pytest.approx(0.5 * paper.std)


@pytest.mark.parametrize("rule", ["identity-grpo", "identity-grpo-release", "flow-grpo", "dance-grpo", "cps"])
def test_sampled_trajectories_have_the_statistics_of_the_recursion(rule):
    schedule, s0 = sigma_schedule("wan", 10, 3.0), 0.5
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(200_000, 1, generator=rng)
    for k in range(len(schedule)):
        sigma, sigma_next = schedule.step(k)
        result = transition(x, exact_velocity(x, sigma, s0), sigma, sigma_next, rule, sigma_1=schedule.step(1)[0])
        x = result.mean + result.std * torch.randn(x.shape, generator=rng)
    assert x.mean().item() == pytest.approx(0, abs=0.01)
    assert x.std().item() == pytest.approx(final_std(schedule, s0, rule), rel=0.01)


def test_log_prob_is_a_density():
    """Its exponential has integral 1, and it is the density of torch's normal distribution."""
    mean, std = torch.full((1, 1), 0.3), 0.2
    points = torch.linspace(-1, 2, 3001)[:, None]
    density = log_prob(points, mean, std).exp()
    assert torch.trapezoid(density, points[:, 0]).item() == pytest.approx(1, abs=1e-4)
    expected = torch.distributions.Normal(0.3, std).log_prob(points[:, 0])
    assert torch.allclose(log_prob(points, mean, std), expected, atol=1e-4)


def test_log_prob_is_the_mean_over_counted_dimensions():
    rng = torch.Generator().manual_seed(0)
    sample, mean = torch.randn(3, 2, 4, generator=rng), torch.randn(3, 2, 4, generator=rng)
    mask = torch.tensor([True, False])[:, None]
    expected = torch.distributions.Normal(mean[:, 0], 0.7).log_prob(sample[:, 0]).mean(1)
    assert torch.allclose(log_prob(sample, mean, 0.7, mask), expected, atol=1e-6)
    changed = sample.clone()
    changed[:, 1] = torch.nan
    assert torch.equal(log_prob(changed, mean, 0.7, mask), log_prob(sample, mean, 0.7, mask))


def test_log_prob_is_float32_whatever_comes():
    half = torch.zeros(2, 3, dtype=torch.bfloat16)
    assert log_prob(half, half, 0.5).dtype == torch.float32
    assert transition(half, half, 0.5, 0.4, "ode", sigma_1=0.9).mean.dtype == torch.float32


def test_dimensions_that_do_not_count_take_an_ode_step():
    rng = torch.Generator().manual_seed(0)
    x, velocity = torch.randn(2, 4, generator=rng), torch.randn(2, 4, generator=rng)
    mask = torch.tensor([True, True, False, False])
    masked, whole, ode = (
        transition(x, velocity, 0.5, 0.4, rule, sigma_1=0.9, mask=m).mean
        for rule, m in (("dance-grpo", mask), ("dance-grpo", None), ("ode", None))
    )
    assert torch.equal(masked[:, :2], whole[:, :2])
    assert torch.equal(masked[:, 2:], ode[:, 2:])


def test_masked_mean_passes_no_gradient_to_what_does_not_count():
    values = torch.tensor([[1.0, 3.0, torch.inf]], requires_grad=True)
    mean = masked_mean(values, torch.tensor([True, True, False]))
    mean.backward()
    assert mean.item() == 2
    assert values.grad.tolist() == [[0.5, 0.5, 0.0]]


def test_what_is_no_step_is_an_error():
    x = torch.zeros(1, 1)
    with pytest.raises(ValueError, match="rule is 'sde'; there are identity-grpo"):
        transition(x, x, 0.5, 0.4, "sde", sigma_1=0.9)
    with pytest.raises(ValueError, match=r"to a smaller one, got 0\.4 and 0\.5"):
        transition(x, x, 0.4, 0.5, "ode", sigma_1=0.9)
    with pytest.raises(ValueError, match="without noise has no density"):
        log_prob(x, x, 0.0)
