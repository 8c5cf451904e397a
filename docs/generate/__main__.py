"""`python -m docs.generate` rewrites the generated regions of every page."""

from __future__ import annotations

from .pages import DOCS, REGIONS, render


def main() -> None:
    for name in REGIONS:
        path = DOCS / name
        text = path.read_text()
        rendered = render(name, text)
        if rendered != text:
            path.write_text(rendered)
            print(f"updated docs/{name}")


if __name__ == "__main__":
    main()
