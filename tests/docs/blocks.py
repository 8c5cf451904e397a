"""Markdown pages, their fenced code blocks, headings and shell commands."""

import re
import shlex
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.paths import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")])
_FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_HEREDOC = re.compile(r"<<-?'?(\w+)'?([^\n]*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{name_of(self.page)}:{self.line}"

    @property
    def heredocs(self) -> list[str]:
        """Texts between `<<EOF` and `EOF`."""
        return [match[3] for match in _HEREDOC.finditer(self.text)]

    @property
    def commands(self) -> list[list[str]]:
        """The words of each simple command of a shell block; variables and substitutions stay as they are."""
        text = _HEREDOC.sub(lambda match: match[2], self.text)
        commands: list[list[str]] = []
        for line in text.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            lexer.commenters = "#"
            words: list[str] = []
            for word in lexer:
                if set(word) <= set("|&;()<>") and word:
                    commands.append(words)
                    words = []
                else:
                    words.append(word)
            commands.append(words)
        return [words for words in commands if words]


def blocks(*languages: str) -> list[Block]:
    all_blocks = [
        Block(page, page.read_text()[: match.start()].count("\n") + 1, match[2], textwrap.dedent(match[3]))
        for page in PAGES
        for match in _FENCE.finditer(page.read_text())
    ]
    return [block for block in all_blocks if block.language in languages]


def prose(page: Path) -> str:
    """The text of a page without its code blocks."""
    return _FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    slugs: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        slug = re.sub(r"[^\w\s-]", "", heading.lower()).strip()
        slugs.add(re.sub(r"[\s-]+", "-", slug))
    return slugs


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Target and anchor of every relative link of a page, images included."""
    for target, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([^)\s]*))?\)", prose(page)):
        if target or anchor:
            yield target, anchor
