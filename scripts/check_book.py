"""Completes the book that mdBook has built, and checks it.

Copies of the files that the book links to, as scripts/book_links.py has it, are put into `files`. Then every
link has to lead to something that is there, with an anchor that is there; every page of docs has to be listed
in SUMMARY.md; and the book must load nothing from elsewhere. What is wrong is printed; the exit status is 1.
"""

from __future__ import annotations

import html
import re
import shutil
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "docs"

ADDRESSES = {"href", "src", "srcset", "poster", "data", "action"}
ELSEWHERE = re.compile(r"(?:https?:)?//", re.IGNORECASE)
# What style sheets and scripts load.
LOADED = re.compile(
    r"""url\(\s*['"]?((?:https?:)?//[^'")\s]+)|@import\s+['"]([^'"]+)"""
    r"""|(?:importScripts|import|fetch)\(\s*['"]((?:https?:)?//[^'"]+)"""
)


class Page(HTMLParser):
    """The addresses, anchors and classes of a page."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.links: list[tuple[str, str]] = []
        self.anchors: set[str] = set()
        self.classes: set[str] = set()
        self.feed(file.read_text())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        for name, value in attributes:
            if value and name in ("id", "name"):
                self.anchors.add(value)
            elif value and name == "class":
                self.classes |= set(value.split())
            elif value and name in ADDRESSES:
                self.links.append((tag, value))


@cache
def page_of(file: Path) -> Page:
    return Page(file)


def copy_files(book: Path) -> None:
    """Copies the files of the repository that pages link to; a folder gets a page that lists its files."""
    for file in sorted(book.rglob("*.html")):
        for _, address in page_of(file).links:
            target = (file.parent / address.partition("#")[0]).resolve()
            if not target.is_relative_to(book / "files") or target.exists():
                continue
            path = target.relative_to(book / "files")
            if (ROOT / path).is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / path, target)
            elif (ROOT / path).is_dir():
                shutil.copytree(ROOT / path, target)
                found = sorted(str(one.relative_to(target)) for one in target.rglob("*") if one.is_file())
                names = map(html.escape, found)
                items = "".join(f'<li><a href="{name}">{name}</a>\n' for name in names)
                listing = f"<!doctype html><title>{path}</title><h1>{path}</h1><ul>\n{items}</ul>\n"
                (target / "index.html").write_text(listing)


def wrong_links(book: Path, file: Path) -> list[str]:
    """What is wrong with the links of a page."""
    # For such a block, a script of mdBook asks play.rust-lang.org.
    wrong = ["runs code elsewhere"] if "playground" in page_of(file).classes else []
    for tag, address in page_of(file).links:
        if ELSEWHERE.match(address):
            # Whoever reads may follow a link; nothing is loaded from there.
            if tag != "a":
                wrong.append(f"<{tag}> loads {address}")
            continue
        if re.match(r"(data|mailto):", address):
            continue
        path, _, anchor = unquote(address).partition("#")
        path = path.partition("?")[0]
        target = (file.parent / path).resolve() if path else file
        if target.is_dir():
            target /= "index.html"
        if not target.is_relative_to(book) or not target.is_file():
            wrong.append(f"there is no {address}")
        elif anchor and target.suffix == ".html" and anchor not in page_of(target).anchors:
            wrong.append(f"there is no anchor {address}")
    return wrong


def loaded_from_elsewhere(file: Path) -> list[str]:
    return [f"loads {next(filter(None, found))}" for found in LOADED.findall(file.read_text())]


def unlisted_pages() -> list[str]:
    """Pages of docs that SUMMARY.md does not list."""
    listed = set(re.findall(r"\]\(([^)]+\.md)\)", (SOURCE / "SUMMARY.md").read_text()))
    pages = {str(file.relative_to(SOURCE)) for file in SOURCE.rglob("*.md")} - {"SUMMARY.md"}
    return [f"docs/{page} is not listed in docs/SUMMARY.md" for page in sorted(pages - listed)]


def main() -> None:
    book = Path(sys.argv[1]).resolve()
    copy_files(book)
    wrong = unlisted_pages()
    pages = [file for file in sorted(book.rglob("*.html")) if not file.is_relative_to(book / "files")]
    for file in pages:
        name = file.relative_to(book)
        wrong += [f"{name}: {what}" for what in wrong_links(book, file)]
    for file in [*pages, *sorted(book.rglob("*.css")), *sorted(book.rglob("*.js"))]:
        wrong += [f"{file.relative_to(book)}: {what}" for what in loaded_from_elsewhere(file)]
    for what in wrong:
        print(what, file=sys.stderr)
    if wrong:
        sys.exit(f"the book is wrong in {len(wrong)} places")
    print(f"{len(pages)} pages, all links lead to something, nothing is loaded from elsewhere")
    print(book / "index.html")


main()
