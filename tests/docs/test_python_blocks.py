"""Python blocks of the pages run, with a fake service in the place of the real one."""

import ast
import importlib
import inspect
import shutil
import sys

import pytest

import identity_reward_client
from identity_reward_client import FakeRewardClient, GrpcRewardClient, HttpRewardClient, local_client
from tests.docs.blocks import blocks
from tests.support.paths import ROOT

EXAMPLES = ROOT / "examples"
NAMES = {"anna.jpg": "references/anna.jpg", "ben.jpg": "references/bea.jpg"}


def stand_in(real, call_signature):
    """A function that takes the arguments of `real`, and only those, and returns a fake client."""

    def make(*args, **kwargs):
        call_signature.bind(*args, **kwargs)
        return StreamingFake()

    make.__name__ = real.__name__
    return make


class StreamingFake(FakeRewardClient):
    async def stream_group(self, references, videos, **options):
        for item in (await self.score_group(references, videos, **options)).items:
            yield item


@pytest.fixture
def fake_service(monkeypatch, tmp_path):
    """A folder with the files that blocks name, and clients that answer without a server."""
    for name, source in NAMES.items():
        shutil.copy(EXAMPLES / source, tmp_path / name)
    for name in ("a.mp4", "b.mp4", "c.mp4", "clip.mp4"):
        shutil.copy(EXAMPLES / "clips/one_person.mp4", tmp_path / name)
    (tmp_path / "examples").symlink_to(EXAMPLES)
    monkeypatch.chdir(tmp_path)
    importlib.import_module("trainer.rewards")  # its names of the clients are replaced too
    for real in (HttpRewardClient, GrpcRewardClient, local_client):
        fake = stand_in(real, inspect.signature(real))
        monkeypatch.setattr(identity_reward_client, real.__name__, fake, raising=False)
        for name, module in list(sys.modules.items()):
            if name.startswith("trainer") and hasattr(module, real.__name__):
                monkeypatch.setattr(module, real.__name__, fake)


@pytest.mark.parametrize("block", blocks("python"), ids=str)
async def test_python_blocks_run(block, fake_service, capsys):
    code = compile(block.text, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    result = eval(code, {"__name__": "page"})
    if inspect.iscoroutine(result):
        await result
