"""Rewriting against a server that watches how many requests are open, and what is asked again."""

import asyncio

import pytest
from starlette.responses import Response

from identity_reward_client.transports.retry import RetryPolicy
from tests.support.waiting import until
from tests.trainer.prompts.chat_server import good_prompt
from trainer.prompts import read_prompts
from trainer.prompts.answer_cache import AnswerCache
from trainer.prompts.endpoint import ChatEndpoint, EndpointUnusable
from trainer.prompts.rewriting import MAX_FAILED_IN_A_ROW, Rewritten, rewrite_prompts

QUICK = RetryPolicy(max_attempts=2, base_s=0.01, max_delay_s=0.02)


@pytest.fixture
def rewrite(chat, tmp_path):
    async def run(path, concurrency=2, model="qwen", on_change=lambda: None):
        result = Rewritten()
        endpoint = ChatEndpoint(chat.url, model, retry=QUICK)
        cache = AnswerCache(tmp_path / "answers.jsonl")
        try:
            rows = read_prompts(path)
            await rewrite_prompts(rows, endpoint, cache, result, concurrency=concurrency, on_change=on_change)
        finally:
            cache.close()
            await endpoint.close()
        return result

    return run


def many(count):
    return [(f"row-{n}", f"They meet at place {n}.", "anna", "ben") for n in range(count)]


async def test_every_row_gets_the_prompt_of_its_own_images_and_draft(chat, data, rewrite):
    result = await rewrite(data(("one", "She reads.", "anna"), ("two", "They wave.", "ben", "carl")))
    assert result.texts == {"one": good_prompt("She reads.", 1), "two": good_prompt("They wave.", 2)}
    assert not result.failures
    sizes = {request.draft: [image.size for image in request.images] for request in chat.requests}
    assert sizes == {"She reads.": [(96, 96)], "They wave.": [(96, 96)] * 2}


async def test_requests_are_open_at_the_same_time_up_to_the_limit(chat, data, rewrite):
    chat.open.clear()
    task = asyncio.create_task(rewrite(data(*many(9)), concurrency=3))
    await until(lambda: chat.active == 3, "three requests are open")
    chat.open.set()
    assert len((await task).texts) == 9
    assert chat.max_active == 3


async def test_a_second_run_asks_for_nothing(chat, data, rewrite):
    first = await rewrite(data(*many(4)))
    second = await rewrite(data(*many(4)))
    assert second.texts == first.texts
    assert (first.num_cached, second.num_cached) == (0, 4)
    assert len(chat.requests) == 4


async def test_rows_of_one_content_share_a_request(chat, data, rewrite):
    path = data(
        ("a", "They wave.", "anna", "ben"), ("b", "They wave.", "anna", "ben"), ("c", "They wave.", "ben", "anna")
    )
    result = await rewrite(path)
    assert set(result.texts) == {"a", "b", "c"}
    assert len(chat.requests) == 2


async def test_another_draft_image_or_model_is_asked_for(chat, data, rewrite, portraits, tmp_path):
    copy = tmp_path / "copy.jpg"
    copy.write_bytes((portraits / "anna.jpg").read_bytes())
    await rewrite(data(("a", "She waves.", "anna")))
    await rewrite(data(("b", "She waves.", "anna")).with_name("drafts.jsonl"))
    assert len(chat.requests) == 1
    await rewrite(data(("a", "She sits.", "anna")))
    await rewrite(data(("a", "She waves.", "ben")))
    await rewrite(data(("a", "She waves.", "anna")), model="other")
    assert len(chat.requests) == 4
    path = tmp_path / "copies.csv"
    path.write_text("ref_paths,prompt\ncopy.jpg,She waves.\n")
    assert (await rewrite(path)).num_cached == 1  # the same content in another file


async def test_failed_rows_cost_no_other_and_are_asked_again(chat, data, rewrite):
    answers = {
        "They meet at place 0.": "I'm sorry, I can't.",
        "They meet at place 1.": '{"people": ["half',
        "They meet at place 2.": Response("out of memory", 500),
        "They meet at place 3.": Response("too long", 400),
    }
    chat.answer = lambda request: answers.get(request.draft)
    result = await rewrite(data(*many(6)))
    assert set(result.texts) == {"row-4", "row-5"}
    codes = {key: failure.code for key, failure in sorted(result.failures.items())}
    assert codes == {"row-0": "refusal", "row-1": "json", "row-2": "endpoint", "row-3": "endpoint"}
    assert result.failures["row-1"].answer == '{"people": ["half'
    assert "out of memory" in result.failures["row-2"].message
    chat.requests.clear()
    answers.clear()
    result = await rewrite(data(*many(6)))
    assert (len(result.texts), result.num_cached) == (6, 2)
    assert set(chat.drafts) == {f"They meet at place {n}." for n in range(4)}


async def test_images_that_cannot_be_read_fail_their_rows_without_a_request(chat, rewrite, tmp_path, portraits):
    (tmp_path / "wall.jpg").write_bytes(b"no image")
    path = tmp_path / "rows.csv"
    path.write_text(f"ref_paths,prompt\nwall.jpg,It stands.\n{portraits}/anna.jpg,She waves.\n")
    result = await rewrite(path)
    assert set(result.texts) == {"rows-2"}
    assert result.failures["rows-1"].code == "image"
    assert len(chat.requests) == 1


async def test_an_unusable_endpoint_ends_the_run_and_keeps_what_is_done(chat, data, rewrite):
    chat.answer = lambda request: Response("no money left", 402) if len(chat.requests) > 3 else None
    with pytest.raises(EndpointUnusable, match="no money left"):
        await rewrite(data(*many(8)), concurrency=1)
    assert len(chat.requests) == 4
    chat.reset()
    result = await rewrite(data(*many(8)))
    assert (len(result.texts), result.num_cached, len(chat.requests)) == (8, 3, 5)


async def test_an_endpoint_that_fails_every_request_ends_the_run(chat, data, rewrite):
    chat.answer = lambda request: Response("no images, please", 400)
    with pytest.raises(EndpointUnusable, match=f"{MAX_FAILED_IN_A_ROW} requests in a row failed: .*no images, please"):
        await rewrite(data(*many(2 * MAX_FAILED_IN_A_ROW)), concurrency=1)
    assert len(chat.requests) == MAX_FAILED_IN_A_ROW


async def test_an_answer_between_failed_requests_keeps_the_run(chat, data, rewrite):
    chat.answer = lambda request: "no" if len(chat.requests) % MAX_FAILED_IN_A_ROW == 0 else Response("no", 400)
    result = await rewrite(data(*many(2 * MAX_FAILED_IN_A_ROW)), concurrency=1)
    assert len(result.failures) == 2 * MAX_FAILED_IN_A_ROW


async def test_an_answer_in_the_cache_that_is_no_longer_valid_is_asked_for(chat, data, rewrite, tmp_path):
    await rewrite(data(("a", "She waves.", "anna")))
    path = tmp_path / "answers.jsonl"
    path.write_text(path.read_text().replace("young woman", "image 1"))
    result = await rewrite(data(("a", "She waves.", "anna")))
    assert (result.texts["a"], result.num_cached) == (good_prompt("She waves.", 1), 0)


async def test_progress_reaches_every_row(data, rewrite):
    changes = []
    await rewrite(data(*many(5)), on_change=lambda: changes.append(None))
    assert len(changes) == 6
