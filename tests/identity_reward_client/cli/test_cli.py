import json

import pytest
from typer.testing import CliRunner

from identity_reward_client import messages
from identity_reward_client.cli.app import app
from identity_reward_client.cli.options import BRIEF
from identity_reward_client.errors import InvalidMedia, Overloaded
from identity_reward_client.fields.warnings import ScoreWarning
from identity_reward_client.frame_sampling import FrameSampling


@pytest.fixture
def run(wire, files):
    def run(*arguments, url=True):
        where = ["--url", wire.url] if url else []
        return CliRunner(env={"COLUMNS": "160"}).invoke(app, [*map(str, arguments), *where])

    return run


@pytest.fixture
def refs(files):
    return ["--reference", files / "a.jpg", "--reference", files / "b.jpg"]


def videos(files, *names):
    return [files / f"{name}.mp4" for name in names]


def one_line(text):
    return len(text.strip().splitlines()) == 1


def test_score_of_one_video_as_json_is_the_score_response(run, refs, files, wire):
    result = run("score", *refs, *videos(files, "one"), "--json", "--prompt", "two people", "--fps", 8)
    assert result.exit_code == 0, result.output
    response = messages.ScoreResponse.model_validate_json(result.stdout)
    assert response.fps == 8
    assert json.loads(wire.requests[0].body)["prompt"] == "two people"


def test_token_is_read_from_the_variable_and_not_shown(run, refs, files, wire, monkeypatch):
    monkeypatch.setenv("IDENTITY_REWARD_TOKEN", "idr_secret")
    result = run("score", *refs, *videos(files, "one"))
    assert wire.requests[0].headers["authorization"] == "Bearer idr_secret"
    assert "secret" not in result.output + run("score", "--help", url=False).output


def test_token_with_a_line_end_is_sent_without_it(run, wire, monkeypatch):
    monkeypatch.setenv("IDENTITY_REWARD_TOKEN", "idr_secret\n")
    assert run("models").exit_code == 0
    assert wire.requests[0].headers["authorization"] == "Bearer idr_secret"


@pytest.mark.parametrize("command", [["models"], ["job", "list"], ["--traceback", "models"]])
def test_token_that_cannot_be_sent_is_not_shown(run, wire, monkeypatch, command):
    monkeypatch.setenv("IDENTITY_REWARD_TOKEN", "idr_secret\nsecond")
    result = run(*command)
    assert result.exit_code == 1
    assert "the token contains" in result.stderr
    assert "secret" not in result.output
    assert wire.requests == []


def test_score_of_one_video_as_a_table(run, refs, files):
    reward = json.loads(run("score", *refs, *videos(files, "one"), "--json").stdout)["reward"]
    result = run("score", *refs, *videos(files, "one"))
    assert result.exit_code == 0
    assert f"{reward:.4f}" in result.stdout
    assert "model: fake" in result.stdout


def test_score_of_several_is_a_group(run, refs, files):
    result = run("score", *refs, *videos(files, "one", "two", "three"), "--json")
    assert result.exit_code == 0
    response = messages.GroupResponse.model_validate_json(result.stdout)
    assert [item.index for item in response.items] == [0, 1, 2]


def test_failed_item_of_a_group_is_shown_and_exits_1(run, refs, files, wire):
    wire.fake._fail = {1: InvalidMedia("not a video")}
    table = run("score", *refs, *videos(files, "one", "two"))
    assert table.exit_code == 1
    assert "not a video" in table.stdout
    assert "1 of 2" in table.stderr
    as_json = run("score", *refs, *videos(files, "one", "two"), "--json")
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["items"][1]["error"]["code"] == "invalid_media"


def test_compare_shows_chances_and_verdict(run, refs, files):
    result = run("compare", *refs, *videos(files, "one", "one"))
    assert result.exit_code == 0
    assert "66.7%" in result.stdout
    assert "16.7%" in result.stdout
    assert "verdict: tie" in result.stdout
    response = messages.CompareResponse.model_validate_json(
        run("compare", *refs, *videos(files, "one", "two"), "--json", "--theta", 2).stdout
    )
    assert response.theta == 2
    assert run("compare", *refs, *videos(files, "one")).exit_code == 2


def test_rank_sorts_best_first_and_failed_last(run, refs, files, wire):
    wire.fake._fail = {1: InvalidMedia("not a video")}
    arguments = ("rank", *refs, *videos(files, "one", "two", "three"))
    response = messages.GroupResponse.model_validate_json(run(*arguments, "--json").stdout)
    rewards = {"one": response.items[0].reward, "three": response.items[2].reward}
    best, worst = sorted(rewards, key=rewards.get, reverse=True)
    result = run(*arguments)
    assert result.exit_code == 1
    places = [result.stdout.index(f"{name}.mp4") for name in (best, worst, "two")]
    assert places == sorted(places)
    chance = response.win[0][2] if worst == "one" else response.win[2][0]
    assert f"{chance:.1%}" in result.stdout


@pytest.mark.parametrize("command", ["score", "compare", "rank"])
def test_warnings_are_marked_and_listed_below_the_table(run, refs, files, wire, command):
    message = "it moves by 1 level, below 6"
    wire.fake._warnings = {1: [ScoreWarning(code="still_video", message=message)]}
    result = run(command, *refs, *videos(files, "one", "two"))
    assert result.exit_code == 0, result.output
    table, _, below = result.stdout.partition("└")
    assert [" ! " in line for line in table.splitlines() if ".mp4" in line].count(True) == 1
    assert below.count(f"two.mp4: still_video: {message}") == 1
    assert f"one.mp4: still_video: {message}" not in below
    as_json = json.loads(run(command, *refs, *videos(files, "one", "two"), "--json").stdout)
    b = as_json["b"] if command == "compare" else as_json["items"][1]["scored"]
    assert b["warnings"] == [{"code": "still_video", "message": message, "reference_index": None}]
    wire.fake._warnings = {}
    assert "!" not in run(command, *refs, *videos(files, "one", "two")).stdout


def test_details_are_shown(run, refs, files, wire, monkeypatch):
    scored = wire.fake._scored
    monkeypatch.setattr(
        wire.fake, "_scored", lambda *a: scored(*a).model_copy(update={"details": {"per_person": [0.25]}})
    )
    assert '"per_person": [0.25]' in run("score", *refs, *videos(files, "one"), "--details").stdout


def test_models_as_table_and_json(run):
    result = run("models")
    assert "fake (default)" in result.stdout
    assert "random weights" in result.stdout
    assert messages.ModelList.model_validate_json(run("models", "--json").stdout).models[0].name == "fake"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score", "-r", "gone.jpg", "gone.mp4"], "no image at gone.jpg"),
        (["models", "--url", "nonsense"], "nonsense"),
    ],
    ids=["missing file", "no URL"],
)
def test_errors_are_one_line_on_stderr(run, arguments, message):
    result = run(*arguments, url=False)
    assert result.exit_code == 1
    assert message in result.stderr
    assert one_line(result.stderr)
    assert result.stdout == ""


def test_refused_connection_is_reported_in_one_line(run, unused_tcp_port):
    result = run("models", "--url", f"http://127.0.0.1:{unused_tcp_port}", url=False)
    assert result.exit_code == 1
    assert "identity-reward serve" in result.stderr
    assert one_line(result.stderr)
    longest_waits_s = [BRIEF.base_s * 2**n for n in range(BRIEF.max_attempts - 1)]
    assert sum(longest_waits_s) < 1


def test_errors_of_the_service_are_one_line(run, refs, files, wire):
    wire.script.extend([Overloaded("too\nbusy")] * 3)
    result = run("score", *refs, *videos(files, "one"))
    assert (result.exit_code, result.stderr) == (1, "error: too busy\n")


def test_local_and_url_exclude_each_other(run, refs, files):
    result = run("score", *refs, *videos(files, "one"), "--local")
    assert result.exit_code == 2
    assert "exclude" in result.stderr


def test_version_option_prints_the_version(run):
    result = run("--version", url=False)
    assert result.exit_code == 0
    assert result.stdout.startswith("identity-reward-client 0.")


def test_fps_compat_is_sent_and_other_words_are_usage_errors(run, refs, files, wire):
    wire.fake._sampling = FrameSampling("ten", num_frames=4, compat_fps=10.0)
    result = run("score", *refs, *videos(files, "one"), "--json", "--fps", "compat")
    assert (result.exit_code, json.loads(result.stdout)["fps"]) == (0, 10)
    assert json.loads(wire.requests[-1].body)["video"]["fps"] == "compat"
    for word in ("fast", "-1", "nan"):
        result = run("rank", *refs, *videos(files, "one"), f"--fps={word}")
        assert result.exit_code == 2
        assert "fps must be a" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score", "--reference", "a", "b", "--dtype", "float32"], "--dtype goes with --local"),
        (["models", "--model", "tiny"], "--model goes with --local"),
    ],
)
def test_options_of_local_mode_are_refused_without_it(run, arguments, message):
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
