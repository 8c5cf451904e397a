"""Sizes of files and folders, the one sentence of every package, and tests at the paths of what they test."""

import ast
from collections import Counter
from pathlib import Path
from statistics import median

from tests.architecture.source import PACKAGES, modules
from tests.support.paths import ROOT

MAX_LINES = 300
MAX_MEDIAN_LINES = 120
MAX_ENTRIES = 14
# source folder -> folder of its tests
TEST_HOMES = {name: ROOT / "tests" / name for name in PACKAGES}
SOURCES = {**PACKAGES, "benchmarks": ROOT / "benchmarks", "examples": ROOT / "examples"}
# modules that are tested elsewhere
TESTED_ELSEWHERE = {
    "service/app.py": "tests/e2e: it runs in a process of `bentoml serve` only",
    "trainer/cli.py": "tests/e2e/training: it needs a service",
}
# folders of tests that mirror no package
ACROSS = {"architecture", "contract", "deploy", "docs", "e2e", "support", "held_out"}


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py") if "_pb2" not in path.name)


SOURCE_FILES = python_files(
    "service", "reward_model", "trainer", "kernels", "clients", "benchmarks", "examples", "docs"
)
TEST_FILES = python_files("tests")


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def number_of_lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_files_stay_short():
    assert not [relative(path) for path in [*SOURCE_FILES, *TEST_FILES] if number_of_lines(path) > MAX_LINES]


def test_the_median_source_file_is_short():
    assert median(number_of_lines(path) for path in SOURCE_FILES) < MAX_MEDIAN_LINES


def test_folders_have_few_entries():
    """An entry is a file or a subfolder; `__init__.py` and folders of data are not counted."""
    entries: Counter[Path] = Counter()
    folders = {
        folder for path in [*SOURCE_FILES, *TEST_FILES] for folder in path.parents if folder.is_relative_to(ROOT)
    } - {ROOT}
    for folder in folders:
        for entry in folder.iterdir():
            is_code = entry in folders or entry.suffix in (".py", ".proto", ".pyi")
            entries[folder] += is_code and entry.name != "__init__.py" and "_pb2" not in entry.name
    assert not [relative(folder) for folder, count in entries.items() if count > MAX_ENTRIES]


def test_every_folder_of_code_is_a_package():
    roots = {ROOT / name for name in ("kernels", "clients")}
    folders = {path.parent for path in SOURCE_FILES} - roots - {ROOT / "examples"}
    assert not [relative(folder) for folder in folders if not (folder / "__init__.py").exists()]


def test_every_package_says_in_one_sentence_what_it_is_for():
    packages = [module for module in modules().values() if module.is_package]
    assert not [module.name for module in packages if not is_one_sentence(ast.get_docstring(module.tree) or "")]


def is_one_sentence(text: str) -> bool:
    text = " ".join(text.split())
    return text.endswith(".") and ". " not in text.replace("e.g. ", "").replace("i.e. ", "")


def mirrored_tests(source: Path, package: str) -> set[Path]:
    """Where the tests of a source file may be: its own test file, or that of its folder (inside it or beside it)."""
    folder = source.parent.relative_to(SOURCES[package])
    tests = TEST_HOMES.get(package, ROOT / "tests" / package) / folder
    names = {tests / f"test_{source.stem.strip('_')}.py"}
    folder_name = source.parent.name
    return names | {tests / f"test_{folder_name}.py", tests.parent / f"test_{folder_name}.py"}


def test_every_module_with_logic_has_tests_at_its_mirrored_path():
    untested = [
        module.relative_path
        for module in modules().values()
        if module.has_logic
        and module.relative_path not in TESTED_ELSEWHERE
        and not any(path.exists() for path in mirrored_tests(module.path, module.package))
    ]
    assert not untested


def is_mirror(test: Path) -> bool:
    """Whether a test file has the path of a source file or folder."""
    package, *folders = test.relative_to(ROOT / "tests").parent.parts
    source = SOURCES[package].joinpath(*folders)
    name = test.stem.removeprefix("test_")
    candidates = [source / f"{name}.py", source / f"_{name}.py", source / f"__{name}__.py", source / name]
    return any(path.exists() for path in candidates) or (name == source.name and source.is_dir())


def test_every_test_file_has_the_path_of_a_source_file_or_folder():
    tests = [path for path in TEST_FILES if path.name.startswith("test_") and path.parent != ROOT / "tests"]
    strays = [path for path in tests if path.relative_to(ROOT / "tests").parts[0] not in ACROSS and not is_mirror(path)]
    assert not [relative(path) for path in strays]
