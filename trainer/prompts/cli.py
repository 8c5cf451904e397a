"""`identity-reward grpo prompts`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from reward_model.training.errors import INTERRUPTED, TrainingError

if TYPE_CHECKING:  # loaded when the command runs, so that its help does not wait for them
    from .answer_cache import AnswerCache
    from .endpoint import ChatEndpoint
    from .files import Prompt
    from .output import PromptOutput
    from .rewriting import Rewritten


def prompts(
    data: Annotated[
        Path,
        typer.Argument(
            help="Draft prompts with reference images: CSV with ref_paths and prompt, or JSONL with id, prompt and "
            "references."
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="JSONL of the new prompts, for data.prompts; run again to continue it.")
    ],
    model: Annotated[str, typer.Option(help="Name of the model at the endpoint.")] = "Qwen/Qwen2.5-VL-7B-Instruct",
    base_url: Annotated[
        str, typer.Option(help="Address of an OpenAI-compatible endpoint, without /chat/completions.")
    ] = "http://127.0.0.1:8000/v1",
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="OPENAI_API_KEY", help="The variable keeps the key out of process lists and the shell history."
        ),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=100, help="Requests at the same time.")] = 4,
    max_tokens: Annotated[int, typer.Option(min=1, help="Longest answer.")] = 1024,
    temperature: Annotated[float, typer.Option(min=0.0, help="Of sampling; 0: the likeliest answer.")] = 0.2,
    timeout: Annotated[float, typer.Option(min=0.001, help="Seconds for one attempt of a request.")] = 120.0,
    cache: Annotated[
        Path | None, typer.Option(help="File of answers, which several outputs may use in turn; beside --out.")
    ] = None,
) -> None:
    """Let a vision-language model rewrite draft prompts, so that they describe the people in the reference images.

    Exit code 1 if any row has no prompt: it is in OUT.failed.jsonl with its error, and the next run asks for it again.
    """
    import asyncio
    from contextlib import closing

    from .answer_cache import AnswerCache
    from .endpoint import ChatEndpoint, EndpointUnusable
    from .files import read_prompts
    from .output import PromptOutput
    from .rewriting import Rewritten

    result = Rewritten()
    try:
        rows = read_prompts(data)
        output = PromptOutput(out, data, cache)
        endpoint = ChatEndpoint(
            base_url, model, api_key=api_key, max_tokens=max_tokens, temperature=temperature, timeout_s=timeout
        )
        with closing(AnswerCache(output.cache)) as answers:
            asyncio.run(_rewrite(rows, endpoint, answers, result, concurrency))
            output.write(rows, result)
    except KeyboardInterrupt:
        _fail(f"stopped after {len(result.texts)} of {len(rows)} prompts; run again to continue", INTERRUPTED)
    except EndpointUnusable as error:
        kept = f"; {len(result.texts)} of {len(rows)} prompts are kept, run again to continue" if result.texts else ""
        _fail(f"{error.message}{kept}")
    except (TrainingError, OSError) as error:
        _fail(str(error))
    _summarise(output, result)


async def _rewrite(
    rows: Sequence[Prompt], endpoint: ChatEndpoint, answers: AnswerCache, result: Rewritten, concurrency: int
) -> None:
    """Rewrite with a progress bar, and close the endpoint."""
    from identity_reward_client.cli.bulk import make_progress

    from .rewriting import rewrite_prompts

    try:
        with make_progress() as progress:
            task = progress.add_task(endpoint.model, total=len(rows), failed=0)

            def show() -> None:
                progress.update(task, completed=result.num_done, failed=len(result.failures))

            await rewrite_prompts(rows, endpoint, answers, result, concurrency=concurrency, on_change=show)
    finally:
        await endpoint.close()


def _summarise(output: PromptOutput, result: Rewritten) -> None:
    asked = len(result.texts) - result.num_cached
    typer.echo(
        f"{output.path} holds {len(result.texts)} prompts: {asked} new, {result.num_cached} from before", err=True
    )
    if result.failures:
        first = next(iter(result.failures.values()))
        _fail(
            f"{len(result.failures)} rows failed and are in {output.failed}; run again to retry them. The first, "
            f"{first.prompt.key}: {first.message}",
            1,
        )


def _fail(message: str, code: int = 2) -> NoReturn:
    typer.echo(f"identity-reward grpo prompts: {message}", err=True)
    raise typer.Exit(code) from None
