import subprocess
import sys

from reward_model.data.people.rendering.factory import open_renderer


def test_without_egl_auto_warns_and_uses_numpy_and_gl_raises(tmp_path):
    code = """
import warnings
from reward_model.data.people.rendering.factory import open_renderer
from reward_model.data.people.scenes.renderer import RendererError
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    print(open_renderer("auto").kind)
print(caught[0].message)
try:
    open_renderer("gl")
except RendererError as error:
    print("refused:", error)
"""
    no_egl = {"__EGL_VENDOR_LIBRARY_DIRS": str(tmp_path), "PYTHONPATH": ":".join(p for p in sys.path if p)}
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=no_egl).stdout
    kind, message, refused = output.splitlines()
    assert kind == "numpy"
    assert "libegl1" in message
    assert "drawn in numpy" in message
    assert refused.startswith("refused: no OpenGL 3.3 through EGL here")


def test_auto_opens_gl_where_it_works(gl_renderer):
    renderer = open_renderer("auto")
    assert renderer.kind == "gl"
    renderer.close()
