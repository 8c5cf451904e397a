"""The OpenGL renderer and a torch model in one process, in either order: Mesa and triton both bundle LLVM."""

import subprocess
import sys

import pytest

RENDER = """
from reward_model.data.people.rendering.factory import open_renderer
from reward_model.data.people.scenes.scene import Background, Scene
renderer = open_renderer("gl")
pixels = renderer.render(Scene((), Background("bokeh", 2)), 64, 48).rgb.tobytes()
"""
LOAD = """
from reward_model.registry import load_scorer
load_scorer("compact").warm_up()
"""
RENDER_AGAIN = """
assert renderer.render(Scene((), Background("bokeh", 2)), 64, 48).rgb.tobytes() == pixels
print("rendered twice and loaded")
"""


@pytest.mark.parametrize(
    "code",
    [RENDER + LOAD + RENDER_AGAIN, LOAD + RENDER + RENDER_AGAIN, "import torch" + RENDER + LOAD + RENDER_AGAIN],
    ids=["renderer-first", "model-first", "torch-alone-first"],
)
def test_renderer_and_compact_model_work_in_one_process(code):
    process = subprocess.run([sys.executable, "-X", "faulthandler", "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert "rendered twice and loaded" in process.stdout
