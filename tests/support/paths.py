"""Paths of the repository and its folders."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
DOCS = ROOT / "docs"
MEDIA = ROOT / "tests/media"
