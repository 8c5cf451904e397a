"""One answer over a real connection: what is repeated, what ends the run, and what no message shows."""

import socket
import threading
from email.utils import formatdate

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response

from identity_reward_client.transports.retry import RetryPolicy
from tests.support.ports import address_of, free_port
from tests.support.waiting import GENEROUS_S
from tests.trainer.prompts.chat_server import completion
from trainer.prompts.answer import InvalidAnswer
from trainer.prompts.endpoint import ChatEndpoint, EndpointBusy, EndpointUnusable, RequestDelayed, RequestFailed

QUICK = RetryPolicy(max_attempts=3, base_s=0.01, max_delay_s=0.02)
MESSAGES = [
    {"role": "system", "content": "Describe."},
    {"role": "user", "content": [{"type": "text", "text": "Draft: They walk."}]},
]


async def ask(url, retry=QUICK, **options):
    endpoint = ChatEndpoint(url, "qwen", retry=retry, **options)
    try:
        return await endpoint.ask(MESSAGES)
    finally:
        await endpoint.close()


def scripted(chat, *responses):
    """The responses in turn, then good answers."""
    pending = list(responses)
    chat.answer = lambda request: pending.pop(0) if pending else "hello"


def serve(listener, *replies):
    """Send the bytes to each connection in turn, and close it."""
    for reply in replies:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(reply)


class RawServer:
    """Called with bytes, it listens and sends them to each connection in turn."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))

    def __call__(self, *replies):
        self.thread = threading.Thread(target=serve, args=(self.listener, *replies), daemon=True)
        self.thread.start()
        return "http://{}:{}/v1".format(*self.listener.getsockname())

    def close(self):
        self.thread.join(GENEROUS_S)
        self.listener.close()


@pytest.fixture
def raw_server():
    server = RawServer()
    yield server
    server.listener.close()


async def test_the_request_has_model_sampling_and_key(chat):
    chat.answer = lambda request: "hello"
    assert await ask(chat.url + "/", api_key=" key-1 ", max_tokens=7, temperature=0.5) == "hello"
    [request] = chat.requests
    assert request.body == {"model": "qwen", "messages": MESSAGES, "max_tokens": 7, "temperature": 0.5}
    assert request.headers["Authorization"] == "Bearer key-1"
    await ask(chat.url)
    assert "Authorization" not in chat.requests[-1].headers


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_a_busy_or_failing_server_is_asked_again(chat, status):
    scripted(chat, Response("busy", status), Response("busy", status))
    assert await ask(chat.url) == "hello"
    assert len(chat.requests) == 3


@pytest.mark.parametrize(
    ("status", "kind"), [(429, EndpointBusy), (500, RequestDelayed), (503, RequestDelayed), (504, RequestDelayed)]
)
async def test_attempts_are_bounded(chat, status, kind):
    chat.answer = lambda request: PlainTextResponse("the GPU is on fire", status)
    with pytest.raises(kind, match=f"answered {status}: the GPU is on fire"):
        await ask(chat.url)
    assert len(chat.requests) == 3


async def test_retry_after_is_waited_for(chat):
    scripted(chat, Response("slow down", 429, {"Retry-After": "0.4"}))
    assert await ask(chat.url) == "hello"
    first, second = chat.requests
    assert second.received_s - first.received_s >= 0.4


async def test_a_retry_after_beyond_the_patience_ends_the_wait_at_once(chat):
    scripted(chat, Response("tomorrow", 429, {"Retry-After": formatdate(4e9, usegmt=True)}))
    with pytest.raises(EndpointBusy, match="tomorrow"):
        await ask(chat.url)
    assert len(chat.requests) == 1


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_request_that_is_refused_is_not_repeated(chat, status):
    scripted(chat, JSONResponse({"error": {"message": "context too long"}}, status))
    with pytest.raises(RequestFailed, match="context too long"):
        await ask(chat.url)
    assert len(chat.requests) == 1


@pytest.mark.parametrize("status", [301, 401, 403, 404])
async def test_a_wrong_key_path_or_model_ends_the_run(chat, status):
    scripted(chat, JSONResponse({"error": {"message": "no such model"}}, status, {"Location": chat.url}))
    with pytest.raises(EndpointUnusable, match="no such model"):
        await ask(chat.url)
    assert len(chat.requests) == 1


async def test_no_message_shows_the_key_or_a_password(chat):
    scripted(chat, Response("wrong key sk-secret-1, see sk-secret-1", 401))
    url = chat.url.replace("http://", "http://user:hunter2@")
    with pytest.raises(EndpointUnusable) as caught:
        await ask(url, api_key="sk-secret-1")
    assert "wrong key ***, see ***" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(EndpointUnusable) as caught:
        ChatEndpoint(chat.url, "qwen", api_key="sk secret")
    assert "sk secret" not in str(caught.value)


@pytest.mark.parametrize("url", ["127.0.0.1:8000/v1", "ftp://127.0.0.1/v1", "http://", "http://[::1/v1"])
def test_a_wrong_base_url_is_named(url):
    with pytest.raises(EndpointUnusable, match="base URL"):
        ChatEndpoint(url, "qwen")


async def test_nothing_that_listens_ends_the_run():
    with pytest.raises(EndpointUnusable, match="nothing answers at http://127"):
        await ask(f"http://127.0.0.1:{free_port()}/v1")


async def test_a_server_that_goes_away_is_waited_for(raw_server):
    body = bytes(completion("hello").body)
    good = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    endpoint = ChatEndpoint(url := raw_server(good), "qwen", retry=QUICK)
    assert await endpoint.ask(MESSAGES) == "hello"
    raw_server.close()
    with pytest.raises(EndpointBusy, match="nothing answers"):
        await endpoint.ask(MESSAGES)
    with socket.create_server(address_of(url.removesuffix("/v1"))) as listener:
        threading.Thread(target=serve, args=(listener, good), daemon=True).start()
        assert await endpoint.ask(MESSAGES) == "hello"
    await endpoint.close()


async def test_a_server_that_hangs_is_a_failed_request(chat):
    chat.open.clear()
    with pytest.raises(RequestDelayed, match=r"no answer from .* within 0.2 s"):
        await ask(chat.url, timeout_s=0.2)


async def test_a_connection_that_breaks_is_made_again(raw_server):
    body = bytes(completion("hello").body)
    good = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    url = raw_server(b"", b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n{", good)
    assert await ask(url) == "hello"


@pytest.mark.parametrize(
    ("response", "code", "message"),
    [
        (completion("half of", "length"), "length", "raise --max-tokens"),
        (completion(None, refusal="I will not."), "refusal", "I will not."),
        (completion("", "content_filter"), "refusal", "content_filter"),
        (completion(None), "json", "no text"),
        (completion("  "), "json", "no text"),
    ],
)
async def test_an_answer_without_a_text_is_invalid(chat, response, code, message):
    scripted(chat, response)
    with pytest.raises(InvalidAnswer, match=message) as caught:
        await ask(chat.url)
    assert caught.value.code == code


@pytest.mark.parametrize("text", ["<html>", "[]", "{}", '{"choices": []}', '{"choices": [{"message": "x"}]}'])
async def test_what_is_no_completion_is_named(chat, text):
    scripted(chat, Response(text))
    with pytest.raises(RequestFailed, match="no chat completion"):
        await ask(chat.url)
