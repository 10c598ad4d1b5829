"""A preprocessor of mdBook: has pages work in the book that are written for the repository.

A page with a line `<!-- book: ../FILE.md -->` shows that file and nothing else: what stands beside that line is for those who
read the page outside of the book. Links of the file count from its folder. Any other file that is named so is shown as a block of
text in that place.
A link to such a file leads to its page. A link to any other file or folder outside of docs leads to
`files/PATH`, where scripts/check_book.py puts a copy.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

# What is shown as it is: fenced blocks, code in a line, comments.
VERBATIM = re.compile(r"^ *(`{3,}).*?^ *\1$|`[^`\n]+`|<!--.*?-->", re.DOTALL | re.MULTILINE)
# mdBook takes braces at the end of a heading for attributes; here they are a part of a path.
BRACE_OF_HEADING = re.compile(r"^(#+ .*)\{([^{}]*\})$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
SHOWN_FILE = re.compile(r"^<!-- book: (\S+) -->$", re.MULTILINE)

Chapter = dict[str, Any]


def chapters_of(items: list[Any]) -> Iterator[Chapter]:
    """Every chapter that has a page."""
    for item in items:
        if isinstance(item, dict) and "Chapter" in item:
            chapter = item["Chapter"]
            if chapter["path"] is not None:
                yield chapter
            yield from chapters_of(chapter["sub_items"])


def joined(folder: PurePosixPath, path: str) -> PurePosixPath:
    """A path without `..`, counted from a folder."""
    return PurePosixPath(os.path.normpath(folder / path))


class Book:
    """The chapters, and which of them shows which file of the repository."""

    def __init__(self, root: Path, source: str, items: list[Any]) -> None:
        self.root = root
        self.source = PurePosixPath(source)
        self.chapters = list(chapters_of(items))
        self.pages: dict[PurePosixPath, PurePosixPath] = {}
        for chapter in self.chapters:
            # The page of README.md is index.md.
            page = PurePosixPath(chapter["path"])
            self.pages[self.shown_by(chapter)] = page
            self.pages[self.source / chapter["source_path"]] = page

    def shown_by(self, chapter: Chapter) -> PurePosixPath:
        """The file that a chapter shows: its own, or the page in whose place it stands."""
        file: PurePosixPath = self.source / chapter["source_path"]
        shown = SHOWN_FILE.search(chapter["content"])
        if shown and shown[1].endswith(".md"):
            return joined(file.parent, shown[1])
        return file

    def rewrite(self, chapter: Chapter) -> None:
        """Puts the text of the file that a chapter shows into it, with links that work in the book."""
        file = self.shown_by(chapter)
        page = PurePosixPath(chapter["path"])
        is_own = file == self.source / chapter["source_path"]
        text = chapter["content"] if is_own else (self.root / file).read_text()

        def block(found: re.Match[str]) -> str:
            return f"```text\n{(self.root / joined(file.parent, found[1])).read_text()}```"

        if is_own:
            text = SHOWN_FILE.sub(block, text)

        def link(found: re.Match[str]) -> str:
            return f"]({self.address(found[1], file, page)})"

        def prose(text: str) -> str:
            return BRACE_OF_HEADING.sub(r"\1&#123;\2", LINK.sub(link, text))

        parts, last = [], 0
        for verbatim in VERBATIM.finditer(text):
            parts += [prose(text[last : verbatim.start()]), verbatim[0]]
            last = verbatim.end()
        chapter["content"] = "".join([*parts, prose(text[last:])])

    def address(self, written: str, file: PurePosixPath, page: PurePosixPath) -> str:
        """Where a link of a file leads to on a page."""
        path, hash_sign, anchor = written.partition("#")
        if not path or re.match(r"[a-z]+:", path):
            return written
        target = joined(file.parent, path)
        if not (self.root / target).exists():
            sys.exit(f"{file}: there is no {target}, to which it links")
        if target in self.pages:
            target = self.pages[target]
        elif target.is_relative_to(self.source):
            target = target.relative_to(self.source)
        elif target.suffix == ".md":
            sys.exit(f"{file}: links to {target}, of which the book has no page; see docs/SUMMARY.md")
        else:
            target = PurePosixPath("files") / target
        return os.path.relpath(target, page.parent) + hash_sign + anchor


def main() -> None:
    if sys.argv[1:2] == ["supports"]:
        return
    context, content = json.load(sys.stdin)
    book = Book(Path(context["root"]), context["config"]["book"]["src"], content["items"])
    for chapter in book.chapters:
        book.rewrite(chapter)
    json.dump(content, sys.stdout)


main()
