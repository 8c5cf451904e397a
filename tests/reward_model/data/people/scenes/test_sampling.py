import subprocess
import sys

from reward_model.data.people.scenes.sampling import sample_background, sample_light


def test_same_seed_gives_same_light_and_background_in_another_process():
    code = "from reward_model.data.people.scenes.sampling import sample_background, sample_light\n"
    code += "print(sample_light(1, 'a'), sample_background(1, 'a'))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert output == f"{sample_light(1, 'a')} {sample_background(1, 'a')}"
    assert len({sample_light(s, n) for s in range(4) for n in "abcd"}) == 16
