import pytest

from trainer.algorithm.schedule import sigma_schedule

# measured on diffusers 0.42.1 and, for wan, on the original code: shift, steps, first three, last two before 0
TABLES = {
    "unipc-3": ("unipc", 25, 3.0, [0.999999, 0.986315, 0.971861], [0.208944, 0.113576]),
    "unipc-5": ("unipc", 25, 5.0, [0.999999, 0.991744, 0.982924], [0.305663, 0.175969]),
    "unipc-50": ("unipc", 50, 3.0, [0.999999, 0.993250, 0.986315], [0.113576, 0.060405]),
    "flow_match_euler-3": ("flow_match_euler", 25, 3.0, [1.0, 0.985758, 0.970681], [0.122680, 0.008929]),
}
ROUNDED = {
    "wan-3": ("wan", 25, 3.0, [0.9997, 0.9860, 0.9715], [0.2067, 0.1110]),
    "wan-5": ("wan", 25, 5.0, [0.9998, 0.9915, 0.9827], [0.3028, 0.1723]),
}


@pytest.mark.parametrize(("name", "steps", "shift", "first", "last"), TABLES.values(), ids=TABLES)
def test_tables_equal_those_of_diffusers(name, steps, shift, first, last):
    sigmas = sigma_schedule(name, steps, shift).sigmas.tolist()
    assert [round(sigma, 6) for sigma in [*sigmas[:3], *sigmas[-3:]]] == [*first, *last, 0.0]


@pytest.mark.parametrize(("name", "steps", "shift", "first", "last"), ROUNDED.values(), ids=ROUNDED)
def test_tables_equal_those_of_the_original_code(name, steps, shift, first, last):
    sigmas = sigma_schedule(name, steps, shift).sigmas.tolist()
    assert [round(sigma, 4) for sigma in [*sigmas[:3], *sigmas[-3:]]] == [*first, *last, 0.0]


def test_timesteps_are_truncated():
    assert sigma_schedule("unipc", 25, 3.0).timesteps[:3] == [999, 986, 971]
    assert sigma_schedule("flow_match_euler", 25, 3.0).timesteps[:3] == [1000, 985, 970]


@pytest.mark.parametrize("steps", [1, 2, 7, 50])
@pytest.mark.parametrize("name", ["unipc", "flow_match_euler", "wan"])
def test_noise_levels_fall_to_0(name, steps):
    schedule = sigma_schedule(name, steps, 3.0)
    assert len(schedule) == steps
    assert (schedule.sigmas.diff() < 0).all()
    assert schedule.step(steps - 1) == (schedule.sigmas[-2].item(), 0.0)


def test_schedules_of_diffusers_give_the_same_tables():
    diffusers = pytest.importorskip("diffusers")
    unipc = diffusers.UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=3.0
    )
    euler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    for name, scheduler in (("unipc", unipc), ("flow_match_euler", euler)):
        scheduler.set_timesteps(25)
        ours = sigma_schedule(name, 25, 3.0)
        assert scheduler.sigmas.tolist() == pytest.approx(ours.sigmas.tolist(), abs=2e-6)
        assert [int(timestep) for timestep in scheduler.timesteps] == ours.timesteps


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ddim", 25, 3.0), "there are unipc, flow_match_euler, wan"),
        (("unipc", 0, 3.0), "are positive, got 0"),
        (("unipc", 25, 0.0), "are positive, got 25 and 0"),
    ],
)
def test_what_is_no_schedule_is_an_error(arguments, message):
    with pytest.raises(ValueError, match=message):
        sigma_schedule(*arguments)
