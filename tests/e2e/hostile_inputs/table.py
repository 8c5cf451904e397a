"""Hostile and malformed inputs with the answers that they must get, and the table of them in the docs.

`python -m tests.e2e.hostile_inputs.table` writes the table to docs/reference/bad-input.md.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.connections import open_connection
from tests.support.media import b64
from tests.support.paths import DOCS
from tests.support.waiting import GENEROUS_S

PAGE = DOCS / "reference/bad-input.md"
START, END = "<!-- bad-inputs:start -->", "<!-- bad-inputs:end -->"

JSON = "application/json"
SAFETENSORS = "application/vnd.safetensors"


@dataclass(frozen=True)
class Answer:
    status: int
    # of the error, for a group of its first item's; "" for a score, and where the HTTP parser answers by itself
    code: str = ""
    message: str = ""


@dataclass(frozen=True)
class Case:
    kind: str
    description: str
    send: Callable[[Caller], Answer]
    status: int
    code: str
    # a part of the message
    message: str

    @property
    def name(self) -> str:
        return f"{self.kind}: {self.description}"


# (description, content as `send` takes it, status and code, a part of the message)
Row = tuple[str, Any, tuple[int, str], str]


def cases(kind: str, send: Callable[[Caller, Any], Answer], rows: Sequence[Row]) -> list[Case]:
    return [
        Case(kind, text, lambda caller, content=content: send(caller, content), status, code, message)  # type: ignore[misc]
        for text, content, (status, code), message in rows
    ]


class Caller:
    """A plain client with a good image and clip; it checks that every error has the shape of errors."""

    def __init__(self, url: str, reference: bytes, clip: bytes, model: str = "tiny"):
        self.http = httpx.Client(base_url=url, timeout=GENEROUS_S)
        self.reference, self.clip, self.model = reference, clip, model
        self._url = url

    def score(self, **fields: Any) -> Answer:
        """`POST /v1/score` with `fields` in place of good ones."""
        return self.json("/v1/score", self.body(**fields))

    def body(self, **fields: Any) -> dict[str, Any]:
        good = {"model": self.model, "references": [{"data": b64(self.reference)}], "video": {"data": b64(self.clip)}}
        return good | fields

    def groups(self, **fields: Any) -> Answer:
        body = self.body(**fields)
        video = body.pop("video")
        return self.json("/v1/groups", {"videos": [video]} | body)

    def file(self, data: bytes, **fields: Any) -> Answer:
        return self.score(video={"data": b64(data)} | fields)

    def reference_file(self, data: bytes) -> Answer:
        return self.score(references=[{"data": b64(data)}])

    def json(self, route: str, body: Any, method: str = "POST") -> Answer:
        return self.send(route, json.dumps(body).encode(), method=method)

    def send(self, route: str, content: Any, kind: str | None = JSON, method: str = "POST", **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = self.http.request(
            method, route, content=content, headers=named | ({"Content-Type": kind} if kind else {})
        )
        return answer(response.status_code, response.headers, response.text)

    def raw(self, tensors: dict[str, Any], data: bytes = b"", request: Any = None, length: int | None = None) -> Answer:
        """A safetensors body: header entries as given; `length` is what it says of its header's size."""
        text = request if isinstance(request, str) else json.dumps(request or {"model": "tiny", "videos": [{"fps": 8}]})
        header = json.dumps({"__metadata__": {"request": text}} | tensors).encode()
        body = struct.pack("<Q", len(header) if length is None else length) + header + data
        return self.send("/v1/groups:raw", body, SAFETENSORS)

    def wire(self, head: str, body: bytes = b"", end: bool = False) -> Answer:
        """The first answer to raw bytes on a new connection; `end` shuts the sending side down after them."""
        with open_connection(self._url) as connection:
            connection.sendall(head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body)
            if end:
                connection.shutdown(socket.SHUT_WR)
            with connection.makefile("rb") as stream:
                status = int(stream.readline().split()[1])
                lines = iter(lambda: stream.readline().decode().strip(), "")
                headers = httpx.Headers([tuple(line.split(": ", 1)) for line in lines])
                text = stream.read(int(headers.get("content-length", 0))) or stream.read()
        return answer(status, headers, text.decode())


def answer(status: int, headers: httpx.Headers, text: str) -> Answer:
    if status == 200:
        items = json.loads(text).get("items") or [{}]
        error = items[0].get("error") or {}
        return Answer(status, error.get("code", ""), error.get("message", ""))
    if headers["content-type"].startswith("text/plain"):
        return Answer(status, "", text)
    assert headers["content-type"] == JSON
    body = json.loads(text)
    assert set(body) == {"error"}, body
    assert set(body["error"]) == {"code", "message", "retryable", "details"}
    assert headers["x-request-id"]
    assert len(body["error"]["message"]) < 1000
    return Answer(status, body["error"]["code"], body["error"]["message"])


def table(cases: Sequence[Case]) -> str:
    lines = ["| sent as | what | HTTP | code |", "| --- | --- | --- | --- |"]
    kind = None
    for case in cases:
        code = f"`{case.code}`" if case.code else "scored" if case.status == 200 else "plain text of the HTTP parser"
        code += ", for that item" if case.code and case.status == 200 else ""
        lines.append(f"| {case.kind if case.kind != kind else ''} | {case.description} | {case.status} | {code} |")
        kind = case.kind
    return "\n".join(lines)


def table_of(page: str) -> str:
    """The table that the page holds."""
    return page.partition(START)[2].partition(END)[0].strip()


def main() -> None:
    from .request_cases import CASES

    page = PAGE.read_text()
    if START not in page or END not in page:
        raise SystemExit(f"{PAGE} lacks {START} ... {END}")
    before, after = page.partition(START)[0], page.partition(END)[2]
    PAGE.write_text(f"{before}{START}\n\n{table(CASES)}\n\n{END}{after}")


if __name__ == "__main__":
    main()
