"""Rewriting of draft prompts by a vision-language model, with bounded concurrency: each content is asked for once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from .answer import InvalidAnswer, read_answer
from .answer_cache import AnswerCache, content_key
from .endpoint import ChatEndpoint, EndpointUnusable, RequestFailed
from .files import Prompt
from .request import chat_messages

# failed requests without an answer between them that end the run: a model that reads no images refuses every row, and
# a server that hangs costs each row all of its attempts
MAX_FAILED_IN_A_ROW = 20


@dataclass(frozen=True)
class FailedPrompt:
    """A row without a new prompt. `code` is that of InvalidAnswer, or "endpoint"."""

    prompt: Prompt
    code: str
    message: str
    # what the model answered, where it did
    answer: str | None = None


@dataclass
class Rewritten:
    """Prompts and failures of a run so far. At its end every row is in one of the two."""

    # by key of the row
    texts: dict[str, str] = field(default_factory=dict)
    failures: dict[str, FailedPrompt] = field(default_factory=dict)
    # rows whose answer was in the cache
    num_cached: int = 0
    # requests that failed since the endpoint's last answer
    num_failed_in_a_row: int = 0

    @property
    def num_done(self) -> int:
        """Rows with a prompt or an error."""
        return len(self.texts) + len(self.failures)

    def fail(self, rows: Sequence[Prompt], code: str, message: str, answer: str | None = None) -> None:
        """Record an error for each of the rows."""
        for row in rows:
            self.failures[row.key] = FailedPrompt(row, code, message, answer)


async def rewrite_prompts(
    prompts: Sequence[Prompt],
    endpoint: ChatEndpoint,
    cache: AnswerCache,
    result: Rewritten,
    *,
    concurrency: int,
    on_change: Callable[[], None] = lambda: None,
) -> None:
    """Ask for every prompt whose answer is not in `cache`, and keep each good answer there as soon as it is received.

    Fills `result`. Rows with the same images and draft share one request. At most `concurrency` requests are open.
    Raises EndpointUnusable, which ends the run; the cache then holds the answers so far.
    """
    pending = iter(list(_pending(prompts, endpoint.model, cache, result).items()))
    on_change()

    async def work() -> None:
        for key, rows in pending:  # one iterator for all workers: each content goes to one of them
            await _rewrite(key, rows, endpoint, cache, result)
            on_change()

    workers = [asyncio.create_task(work()) for _ in range(concurrency)]
    try:
        await asyncio.gather(*workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


def _pending(prompts: Sequence[Prompt], model: str, cache: AnswerCache, result: Rewritten) -> dict[str, list[Prompt]]:
    """Rows by the key of their content, without those that the cache answers or whose images can't be read."""
    hashes: dict[Path, str] = {}
    pending: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        try:
            for path in prompt.references:
                if path not in hashes:
                    hashes[path] = sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            result.fail([prompt], "image", f"{path} can't be read: {error.strerror or error}")
            continue
        key = content_key(prompt, [hashes[path] for path in prompt.references], model)
        answer = cache.get(key)
        try:
            if answer is not None:
                result.texts[prompt.key] = read_answer(answer, len(prompt.references))
                result.num_cached += 1
                continue
        except InvalidAnswer:  # of a version with other rules
            pass
        pending.setdefault(key, []).append(prompt)
    return pending


async def _rewrite(key: str, rows: list[Prompt], endpoint: ChatEndpoint, cache: AnswerCache, result: Rewritten) -> None:
    row = rows[0]
    try:
        answer = await endpoint.ask(await asyncio.to_thread(chat_messages, row))
        text = read_answer(answer, len(row.references))
    except InvalidAnswer as error:
        if error.answer is not None:
            result.num_failed_in_a_row = 0
        result.fail(rows, error.code, error.message, error.answer)
    except RequestFailed as error:
        result.num_failed_in_a_row += 1
        if result.num_failed_in_a_row >= MAX_FAILED_IN_A_ROW:
            raise EndpointUnusable(f"{MAX_FAILED_IN_A_ROW} requests in a row failed: {error.message}") from None
        result.fail(rows, error.code, error.message)
    else:
        result.num_failed_in_a_row = 0
        cache.put(key, answer)
        result.texts.update({same.key: text for same in rows})
