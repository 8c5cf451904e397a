import pytest

from reward_model.training.configs.files import config_yaml, differences
from reward_model.training.errors import TrainingError
from trainer.config import GrpoConfig, read_grpo_config
from trainer.policies.wan.options import read_options
from trainer.policies.wan.phantom import PhantomOptions
from trainer.policies.wan.vace import VaceOptions

MINIMAL = "kind: grpo\npolicy: {factory: 'module:factory'}\ndata: {prompts: prompts.csv}\n"


@pytest.fixture
def read(tmp_path):
    def read(text="", *overrides):
        path = tmp_path / "config.yaml"
        path.write_text(MINIMAL + text)
        return read_grpo_config(str(path), overrides)

    return read


def test_the_defaults_are_the_papers(read):
    config = read()
    assert (config.profile, config.profile_differences()) == ("paper", [])
    assert (config.group_size, config.groups_per_update, config.sampling.num_steps) == (8, 16, 25)
    assert (config.loss.clip_range, config.loss.kl_weight, config.sampling.rule) == (1e-3, 0.0, "identity-grpo")
    assert not config.scatter_members
    assert not config.sampling.noisy_last_step


@pytest.mark.parametrize(
    ("name", "kind", "guidance", "schedule"),
    [("vace-1.3b", VaceOptions, 4.5, ("unipc", 3.0)), ("phantom-1.3b", PhantomOptions, 7.5, ("wan", 5.0))],
)
def test_the_configs_of_the_papers_models_have_its_values(name, kind, guidance, schedule):
    """Section 4.2 of the paper."""
    config = read_grpo_config(name)
    options = read_options(kind, config.policy.options)
    assert (options.num_frames, options.width, options.height) == (33, 416, 240)
    sampling, evaluation = config.sampling, config.evaluation_sampling
    assert (sampling.num_steps, evaluation.num_steps) == (25, 50)
    assert (config.groups_per_update, config.group_size) == (16, 8)
    assert (config.loss.clip_range, config.loss.kl_weight) == (1e-3, 0.0)
    assert (config.adapter.rank, config.adapter.alpha, config.adapter.init) == (32, 32, None)
    assert (sampling.initial_noise, sampling.guidance, evaluation.guidance) == ("different", guidance, guidance)
    assert (sampling.schedule, sampling.shift) == schedule
    assert config.micro_batch == sampling.batch
    assert config.profile_differences() == []


def test_the_profile_of_the_release_says_what_differs(read):
    config = read("profile: release\nloss: {clip_range: 0.5}\n", "loss.kl_weight=0.01")
    assert (config.updates_per_rollout, config.groups_per_rollout, config.scatter_members) == (2, 32, True)
    assert config.sampling.noisy_last_step
    # what is given stays
    assert (config.loss.clip_range, config.loss.kl_weight) == (0.5, 0.01)
    assert config.profile_differences() == [
        "sampling.schedule is wan; paper: unipc",
        "sampling.rule is identity-grpo-release; paper: identity-grpo",
        "sampling.noisy_last_step is True; paper: False",
        "loss.kl_weight is 0.01; paper: 0.0",
        "updates_per_rollout is 2; paper: 1",
        "scatter_members is True; paper: False",
        "adapter.init is unset; the release starts from its published LoRA",
    ]
    warm = read("profile: release\n", "adapter.init=lora")
    assert warm.profile_differences()[-1] == "training starts from lora; paper: from the base model"


@pytest.mark.parametrize("text", ["", "profile: release\n", "sampling: {window: {kind: random}}\n"])
def test_a_written_configuration_is_read_back(read, tmp_path, text):
    config = read(text)
    path = tmp_path / "written.yaml"
    path.write_text(config_yaml(config))
    assert read_grpo_config(str(path)) == config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("group_size: 1\n", "group_size: Input should be greater than or equal to 2"),
        ("sampling: {num_steps: 1}\n", "the last step isn't trained"),
        ("sampling: {num_steps: 5, window: {kind: fixed, first: 2, size: 3}}\n", "only the first 4 of 5 steps"),
        ("sampling: {rule: ode}\n", "rule ode adds no noise, and loss clip needs some"),
        ("profile: release\ngroup_size: 9\n", "scatter_members divides groups of 9 among 2 updates"),
        ("profile: fast\n", "profile: Input should be 'paper' or 'release'"),
        ("sampling: {guidanse: 1}\n", "sampling.guidanse is no field; did you mean guidance?"),
        ("policy: 3\n", "policy: Input should be a valid"),
    ],
)
def test_values_that_are_not_valid_are_one_line(read, text, message):
    with pytest.raises(TrainingError, match=message) as raised:
        read(text)
    assert "\n" not in str(raised.value)


def test_another_kind_is_an_error(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("kind: reward\n")
    with pytest.raises(TrainingError, match="kind is 'reward'; there are grpo"):
        read_grpo_config(str(path))


def test_the_rule_ode_goes_with_nft(read):
    assert isinstance(read("sampling: {rule: ode}\nloss: {kind: nft}\n"), GrpoConfig)


@pytest.mark.parametrize(
    ("guards", "field"),
    [("faces_of: arcface", "faces_of"), ("early_stop: {watched: arcface, fall: 1}", "early_stop.watched")],
)
def test_guards_name_sources_that_there_are(read, guards, field):
    with pytest.raises(TrainingError, match=f"guards.{field} is 'arcface'; rewards.sources has identity"):
        read(f"guards: {{{guards}}}\n")
    read(f"guards: {{{guards}}}\nrewards: {{sources: [{{name: identity}}, {{name: arcface, weight: 0}}]}}\n")


def test_another_service_and_other_guards_may_go_on_with_a_run(read):
    before = read()
    after = read("rewards: {url: 'http://other:3000'}\nguards: {early_stop: {watched: identity, fall: 1}}\n")
    assert differences(before, after) == differences(after, before) == []
    assert differences(before, read("rewards: {sources: [{name: other}]}\n"))
