"""The chat server, and files of draft prompts with photographs."""

import json

import pytest

from tests.support.media import portrait
from tests.trainer.prompts.chat_server import ChatServer


@pytest.fixture(scope="session")
def chat_server():
    server = ChatServer()
    yield server
    server.close()


@pytest.fixture
def chat(chat_server):
    chat_server.reset()
    yield chat_server
    chat_server.open.set()


@pytest.fixture(scope="session")
def portraits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("portraits")
    for name, person in (("anna", "P001"), ("ben", "P002"), ("carl", "P003")):
        portrait(person, 96).save(folder / f"{name}.jpg")
    return folder


@pytest.fixture
def data(tmp_path, portraits):
    """Writes drafts.jsonl with (id, draft, names of people)."""

    def write(*rows):
        path = tmp_path / "drafts.jsonl"
        lines = [
            {"id": key, "prompt": draft, "references": [str(portraits / f"{name}.jpg") for name in names]}
            for key, draft, *names in rows
        ]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return write
