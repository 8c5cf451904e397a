"""`identity-reward grpo prompts` as a command: exit codes, messages, and runs that are killed."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter

import pytest
from starlette.responses import Response
from typer.testing import CliRunner

from tests.support.paths import EXAMPLES
from tests.support.ports import free_port
from tests.support.waiting import GENEROUS_S, wait_until
from trainer.cli import grpo
from trainer.prompts import read_prompts
from trainer.prompts.cli import INTERRUPTED

KEY = "sk-secret-1"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out" / "train.jsonl"


@pytest.fixture
def run(chat, out):
    def start(data, *more, url=None):
        arguments = ["prompts", data, "-o", out, "--base-url", url or chat.url, "--model", "qwen", *more]
        return CliRunner(env={"OPENAI_API_KEY": KEY}).invoke(grpo, [str(argument) for argument in arguments])

    return start


def test_shipped_drafts_become_prompts_of_a_training(chat, run, out):
    result = run(EXAMPLES / "prompts.jsonl")
    assert result.exit_code == 0, result.output
    assert f"{out} holds 6 prompts: 6 new, 0 from before" in result.stderr
    drafts, prompts = read_prompts(EXAMPLES / "prompts.jsonl"), read_prompts(out)
    assert [prompt.key for prompt in prompts] == [draft.key for draft in drafts]
    for draft, prompt in zip(drafts, prompts, strict=True):
        assert draft.text in prompt.text
        assert [path.resolve() for path in prompt.references] == [path.resolve() for path in draft.references]
    assert {request.headers["Authorization"] for request in chat.requests} == {f"Bearer {KEY}"}
    assert "6 prompts: 0 new, 6 from before" in run(EXAMPLES / "prompts.jsonl").stderr
    assert len(chat.requests) == 6


def test_failed_rows_are_kept_and_named_with_exit_code_1(chat, run, out):
    chat.answer = lambda request: "I'm sorry." if request.draft.startswith("A man repairs") else None
    result = run(EXAMPLES / "prompts.jsonl")
    assert result.exit_code == 1
    assert f"1 rows failed and are in {out.parent}/train.failed.jsonl; run again to retry them" in result.stderr
    assert "The first, carl: the model refused: I'm sorry." in result.stderr
    assert len(read_prompts(out)) == 5
    [row] = [json.loads(line) for line in (out.parent / "train.failed.jsonl").read_text().splitlines()]
    assert (row["id"], row["error"]["code"]) == ("carl", "refusal")
    chat.answer = lambda request: None
    assert run(EXAMPLES / "prompts.jsonl").exit_code == 0
    assert len(chat.requests) == 7
    assert {path.name for path in out.parent.iterdir()} == {"train.jsonl", "train.answers.jsonl"}


def test_options_reach_the_request_and_the_cache(chat, run, tmp_path):
    cache = tmp_path / "shared.jsonl"
    run(EXAMPLES / "prompts.jsonl", "--max-tokens", "9", "--temperature", "0", "--cache", cache)
    assert {(r.body["max_tokens"], r.body["temperature"], r.body["model"]) for r in chat.requests} == {(9, 0.0, "qwen")}
    assert cache.read_bytes().count(b"\n") == 6


def test_what_cannot_run_is_one_line_with_exit_code_2(chat, run, data, out, tmp_path):
    drafts = data(("a", "She waves.", "anna"))
    for arguments, message in [
        ((tmp_path / "none.csv",), "none.csv: the prompts can't be read"),
        ((drafts, "-o", drafts), "four different files"),
        ((drafts, "-o", tmp_path / "new.csv"), "written as JSONL"),
        ((drafts, "--base-url", "localhost"), "a base URL looks like http://127.0.0.1:8000/v1"),
        ((drafts, "--cache", drafts), "four different files"),
    ]:
        result = run(*arguments)
        assert result.exit_code == 2
        assert result.stderr.startswith("identity-reward grpo prompts: ")
        assert result.stderr.count("\n") == 1
        assert message in result.stderr
    assert not out.parent.exists()
    assert not chat.requests


def test_an_endpoint_that_is_away_ends_the_run_at_once(run, data, out):
    away = f"http://127.0.0.1:{free_port()}"
    result = run(data(("a", "She waves.", "anna")), url=away)
    assert result.exit_code == 2
    assert f"identity-reward grpo prompts: nothing answers at {away}/chat/completions" in result.stderr
    assert not out.exists()


def test_a_wrong_key_is_one_line_without_the_key(chat, run, data, out):
    chat.answer = lambda request: Response(f"wrong key {KEY}", 401)
    result = run(data(("a", "She waves.", "anna")))
    assert result.exit_code == 2
    assert "answered 401: wrong key ***" in result.stderr
    assert KEY not in result.output
    assert not out.exists()


def test_the_help_does_not_show_the_key():
    assert KEY not in CliRunner(env={"OPENAI_API_KEY": KEY}).invoke(grpo, ["prompts", "--help"]).output


COUNT, ANSWERED = 10, 4


@pytest.fixture
def stopped(chat, data, out):
    """A process in the middle of its run, with the file of its drafts: some are answered, the others wait."""
    drafts = data(*[(f"row-{n}", f"They meet at place {n}.", "anna", "ben") for n in range(COUNT)])
    held = Counter()

    def answer(request):
        if len(chat.requests) > ANSWERED:
            held[request.draft] += 1
            chat.open.clear()

    chat.answer = answer
    command = [sys.executable, "-m", "trainer.cli", "prompts", drafts, "-o", out, "--base-url", chat.url]
    command += ["--model", "qwen", "--concurrency", "1"]
    environment = {**os.environ, "OPENAI_API_KEY": KEY}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    wait_until(lambda: chat.active and held, "a request waits", running=process)
    yield process, drafts
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_stopped_goes_on_without_asking_again(chat, run, stopped, out, number):
    process, drafts = stopped
    process.send_signal(number)
    _, errors = process.communicate(timeout=GENEROUS_S)
    if number == signal.SIGINT:
        assert process.returncode == INTERRUPTED
        assert f"stopped after {ANSWERED} of {COUNT} prompts; run again to continue" in errors
    assert not out.exists()
    before = chat.drafts
    chat.reset()
    result = run(drafts)
    assert result.exit_code == 0, result.output
    assert f"{COUNT} prompts: {COUNT - ANSWERED} new, {ANSWERED} from before" in result.stderr
    answered = {f"They meet at place {n}." for n in range(ANSWERED)}
    assert answered < set(before)
    assert not answered & set(chat.drafts)
    assert [prompt.key for prompt in read_prompts(out)] == [f"row-{n}" for n in range(COUNT)]


def test_a_second_run_beside_the_first_is_refused(run, stopped):
    _, drafts = stopped
    result = run(drafts)
    assert result.exit_code == 2
    assert "another run is writing" in result.stderr
