"""A server of the OpenAI chat protocol on a socket that answers well, or as a test scripts it, and watches requests."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.waiting import wait_until

ORDINALS = ("first", "second", "third", "fourth")
COUNTS = ("no", "one", "two", "three", "four")
LOOKS = (
    "a young woman with fair skin, long brown hair and a blue shirt",
    "an old man with dark skin, short grey hair, a beard and a green jacket",
    "a woman of middle age with curly black hair, round glasses and a white coat",
    "a man with a moustache, straight blond hair and a striped sweater",
)


def good_prompt(draft: str, count: int) -> str:
    people = " ".join(f"The {ORDINALS[n]} person is {LOOKS[n]}." for n in range(count))
    return f"{COUNTS[count].capitalize()} people: {draft} {people}"


def good_answer(draft: str, count: int) -> str:
    return json.dumps({"people": list(LOOKS[:count]), "prompt": good_prompt(draft, count)})


def completion(content: str | None, finish_reason: str = "stop", **message: Any) -> Response:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": content, **message},
        "finish_reason": finish_reason,
    }
    return JSONResponse({"id": "chat-1", "object": "chat.completion", "model": "test", "choices": [choice]})


@dataclass
class ChatRequest:
    """One request. `draft` and `images` are what its messages hold."""

    body: dict[str, Any]
    headers: Any
    # seconds of a monotonic clock
    received_s: float
    draft: str = ""
    images: list[Image.Image] = field(default_factory=list)

    def __post_init__(self) -> None:
        system, user = self.body["messages"]
        assert system["role"] == "system"
        assert user["role"] == "user"
        for part in user["content"]:
            if part["type"] == "image_url":
                head, _, data = part["image_url"]["url"].partition(",")
                assert head == "data:image/jpeg;base64"
                self.images.append(Image.open(io.BytesIO(base64.b64decode(data))))
        self.draft = user["content"][-1]["text"].partition("Draft: ")[2]

    @property
    def good_answer(self) -> str:
        return good_answer(self.draft, len(self.images))


class ChatServer:
    """`answer(request)` may return a response, the text of an answer, or None for a good one.

    Answers wait while `open` is not set.
    """

    def __init__(self) -> None:
        self.open = threading.Event()
        self.active = 0
        self.reset()
        routes = [Route("/v1/chat/completions", self._answer, methods=["POST"])]
        config = uvicorn.Config(Starlette(routes=routes), host="127.0.0.1", port=0, log_level="error", lifespan="off")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        wait_until(lambda: self._server.started, "the chat server has started")
        host, port = self._server.servers[0].sockets[0].getsockname()
        self.url = f"http://{host}:{port}/v1"

    def reset(self) -> None:
        """End what waits, and forget the requests and the script."""
        self.open.set()
        wait_until(lambda: not self.active, "no request waits")
        self.requests: list[ChatRequest] = []
        self.max_active = 0
        self.answer: Callable[[ChatRequest], Response | str | None] = lambda request: None

    @property
    def drafts(self) -> Counter[str]:
        return Counter(request.draft for request in self.requests)

    def close(self) -> None:
        self.open.set()
        self._server.should_exit = True
        self._thread.join(10)

    async def _answer(self, request: Request) -> Response:
        chat = ChatRequest(await request.json(), request.headers, time.monotonic())
        self.requests.append(chat)
        self.active += 1
        self.max_active = max(self.max_active, self.active)
        try:
            answer = self.answer(chat)
            while not self.open.is_set() and not await request.is_disconnected():  # noqa: ASYNC110  it is of another thread
                await asyncio.sleep(0.002)
        finally:
            self.active -= 1
        if isinstance(answer, Response):
            return answer
        return completion(chat.good_answer if answer is None else answer)
