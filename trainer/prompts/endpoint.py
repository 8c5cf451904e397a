"""One answer of an OpenAI-compatible chat endpoint, with bounded retries."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from identity_reward_client.errors import InvalidRequest, RewardError
from identity_reward_client.transports.http import open_http
from identity_reward_client.transports.http_errors import retry_after_s
from identity_reward_client.transports.retry import RetryPolicy

from .answer import InvalidAnswer, shorten

# a long run waits for an endpoint that is busy or starts again
PATIENT = RetryPolicy(max_attempts=8, base_s=0.5, max_delay_s=30.0, deadline_s=600.0)
# statuses of a wrong key, a wrong path or a model that is not served: other rows would get the same
_UNUSABLE = (301, 302, 307, 308, 401, 402, 403, 404, 405)
_BUSY = (425, 429)
_DELAYED = (408, 409)


class RequestFailed(RewardError):
    """The endpoint does not answer this request; others may succeed."""

    code = "endpoint"
    retryable = False


class RequestDelayed(RequestFailed):
    """A server error or a timeout, which a repetition may mend."""

    retryable = True


class EndpointUnusable(RewardError):
    """The endpoint answers no request at all."""

    code = "endpoint_unusable"
    retryable = False


class EndpointBusy(EndpointUnusable):
    """Nothing listens any more, or the rate limit is reached: a repetition may mend it."""

    retryable = True


class ChatEndpoint:
    """A model behind `POST {base_url}/chat/completions`, for one event loop.

    Args:
        base_url: http:// or https:// address, which ends in /v1 at most servers.
        model: the model's name there.
        api_key: bearer token; no error shows it.
        max_tokens: longest answer.
        temperature: 0 or more.
        timeout_s: seconds for one attempt as a whole.
        retry: how often, and for how long, a failed request is repeated. Retry-After is kept.

    Raises EndpointUnusable for another URL and for a key that a header cannot carry.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api_key: str | None = None,
        max_tokens: int = 1024,
        temperature: float = 0.2,
        timeout_s: float = 120.0,
        retry: RetryPolicy = PATIENT,
    ) -> None:
        self.model, self.timeout_s = model, timeout_s
        self._sampling = {"max_tokens": max_tokens, "temperature": temperature}
        self._key, self._retry = (api_key or "").strip(), retry
        try:
            url = httpx.URL(base_url.rstrip("/") + "/chat/completions")
        except httpx.InvalidURL as error:
            raise EndpointUnusable(f"the base URL can't be read: {error}") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise EndpointUnusable(f"a base URL looks like http://127.0.0.1:8000/v1, got {base_url!r}")
        self._url, self._reached = url, False
        # without a password that it may contain
        self._shown_url = str(url.copy_with(userinfo=b""))
        try:
            self._http = open_http(timeout_s, self._key)
        except InvalidRequest as error:
            raise EndpointUnusable(error.message) from None

    async def ask(self, messages: list[dict[str, Any]]) -> str:
        """The text that the model answers.

        Raises InvalidAnswer for a refusal, an answer without text and one that --max-tokens cut off, RequestFailed
        where this request has no answer, EndpointUnusable where no request would have one.
        """
        body = {"model": self.model, "messages": messages, **self._sampling}
        response = await self._retry.run(lambda: self._post(body))
        return _content(response, self._shown_url)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _post(self, body: dict[str, Any]) -> httpx.Response:
        where = self._shown_url
        try:
            # httpx limits each read, so that an answer in small pieces could take for ever
            async with asyncio.timeout(self.timeout_s):
                response = await self._http.post(self._url, json=body)
        except (TimeoutError, httpx.ReadTimeout, httpx.WriteTimeout):
            raise RequestDelayed(f"no answer from {where} within {self.timeout_s:g} s") from None
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            # an address that never answered is more likely wrong than a server that starts again
            kind = EndpointBusy if self._reached else EndpointUnusable
            raise kind(f"nothing answers at {where}: {error or type(error).__name__}") from None
        except httpx.HTTPError as error:
            raise RequestDelayed(f"the connection to {where} broke: {error or type(error).__name__}") from None
        self._reached = True
        if response.is_success:
            return response
        text = f"{where} answered {response.status_code}: {shorten(self._without_key(response.text)) or 'no text'}"
        wait_s = retry_after_s(response)
        if response.status_code in _UNUSABLE:
            raise EndpointUnusable(text)
        if response.status_code in _BUSY:
            raise EndpointBusy(text, retry_after_s=wait_s)
        if response.is_server_error or response.status_code in _DELAYED:
            raise RequestDelayed(text, retry_after_s=wait_s)
        raise RequestFailed(text)

    def _without_key(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


def _content(response: httpx.Response, where: str) -> str:
    """The text of the first choice."""
    try:
        choice = response.json()["choices"][0]
        message = choice["message"]
        content, refusal, reason = message.get("content"), message.get("refusal"), choice.get("finish_reason")
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        raise RequestFailed(f"{where} answered with no chat completion: {shorten(response.text)}") from None
    text = content if isinstance(content, str) else ""
    if refusal or reason == "content_filter":
        raise InvalidAnswer("refusal", f"the model refused: {shorten(str(refusal or reason))}", text)
    if reason == "length":
        raise InvalidAnswer("length", "the answer was cut off; raise --max-tokens", text)
    if not text.strip():
        raise InvalidAnswer("json", "the answer has no text")
    return text
