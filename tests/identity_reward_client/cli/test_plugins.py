"""Verbs and the in-process client that other packages bring, read from real distributions on the path."""

import subprocess
import sys

import pytest


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """install(group, name, target, source): a distribution with one entry point and a module, on sys.path."""

    def install(group, name, target, source=""):
        module = target.partition(":")[0]
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-1.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n")

    monkeypatch.syspath_prepend(str(tmp_path))
    return install


@pytest.fixture
def command(tmp_path):
    def run(*arguments, isolated=False):
        code = "from identity_reward_client.cli.app import main; main()"
        if isolated:  # as where only the light distribution is installed
            code = "import importlib.metadata as m; m.entry_points = lambda **kw: m.EntryPoints(); " + code
        environment = {"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin", "COLUMNS": "200"}
        return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, env=environment)

    return run


COMMANDS = "identity_reward.commands"
GREET = '''
def greet(name: str, loud: bool = False):
    """Greet somebody."""
    print(name.upper() if loud else name)
'''


def test_command_may_have_subcommands(plugins, command):
    source = "import typer\napp = typer.Typer()\n@app.command()\ndef greet(name: str): print(name)\n"
    source += "@app.command()\ndef part(): print('bye')\n"
    plugins(COMMANDS, "meet", "plugin_meet:app", source)
    assert command("meet", "greet", "anna").stdout == "anna\n"
    assert command("meet", "part").stdout == "bye\n"
    assert "│ meet" in command("--help").stdout
    assert "Usage: identity-reward meet" in command("meet", "--help").stdout


def test_command_of_another_package_runs_with_its_options(plugins, command):
    plugins(COMMANDS, "greet", "plugin_greet:greet", GREET)
    assert command("greet", "anna", "--loud").stdout == "ANNA\n"
    assert "Greet somebody." in command("--help").stdout
    assert "--loud" in command("greet", "--help").stdout


@pytest.mark.parametrize(
    ("source", "message"),
    [("import no_such_module", "no_such_module"), ("1/0", "division by zero"), ("", "greet")],
    ids=["missing import", "raises", "no such function"],
)
def test_broken_command_breaks_no_other(plugins, command, source, message):
    plugins(COMMANDS, "broken", "plugin_broken:greet", source)
    plugins(COMMANDS, "greet", "plugin_greet:greet", GREET)
    assert command("greet", "anna").stdout == "anna\n"
    overview = command("--help")
    assert overview.returncode == 0
    assert "not available" in overview.stdout
    broken = command("broken", "--some", "option")
    assert broken.returncode == 1
    assert message in broken.stderr
    assert len(broken.stderr.splitlines()) == 1


def test_command_of_another_package_does_not_replace_a_built_in_one(plugins, command):
    plugins(COMMANDS, "score", "plugin_score:greet", GREET)
    assert "--reference" in command("score", "--help").stdout


@pytest.mark.parametrize("error", ["OSError('disk full')", "KeyError('x')"], ids=str)
def test_error_of_a_command_is_one_line_without_traceback_option(plugins, command, error):
    plugins(COMMANDS, "fall", "plugin_fall:fall", f"def fall():\n    raise {error}\n")
    short, long = command("fall"), command("--traceback", "fall")
    assert short.returncode == long.returncode == 1
    assert len(short.stderr.splitlines()) == 1
    assert "Traceback" in long.stderr


def test_serve_without_its_package_says_what_to_install(command):
    result = command("serve", "--port", "5", isolated=True)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert 'pip install "identity-reward[serve,faces]"' in result.stderr


def test_local_without_its_package_says_what_to_install(command, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"x")
    result = command("score", "-r", str(tmp_path / "a.jpg"), str(tmp_path / "a.jpg"), "--local", isolated=True)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert 'pip install "identity-reward[serve,faces]"' in result.stderr
