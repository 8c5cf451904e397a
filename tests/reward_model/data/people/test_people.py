import subprocess
import sys


def test_training_on_rendered_people_does_not_import_the_renderer():
    code = """
import sys
import reward_model.training.supervision.ground_truth
print([name for name in sys.modules if "people.rendering" in name or "people.meshes" in name or name == "moderngl"])
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.stdout.strip() == "[]", process.stderr
