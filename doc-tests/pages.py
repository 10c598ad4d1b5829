"""Reads Markdown pages: their blocks, and the directives that say what becomes of these. README.md describes both."""

from __future__ import annotations

import json
import re
import shlex
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import yaml

COMMANDS = ("sh", "python")
DATA = ("json", "toml", "yaml")
# What directives are called, and whether they have a value.
BLOCK_DIRECTIVES = {
    "background": False,
    "until": True,
    "exit": True,
    "prints": False,
    "shown": False,
    "file": True,
    "append": True,
    "through": True,
    "replace": True,
    "limit": True,
    "by": True,
    "not-run": False,
    "because": True,
    "run": False,
    "interrupt": False,
}
PAGE_DIRECTIVES = {"on": ("machine", "host"), "has": ("programs", "package", "afm", "client"), "limit": None}

FENCE = re.compile(r"^(?P<indent> *)(?P<fence>```+|~~~+) *(?P<info>[^`]*)$")
COMMENT = re.compile(r"^ *<!-- test:\s*(?P<text>.*)$")
LIST_ITEM = re.compile(r"^(?P<marker> *(?:[-*+]|\d+[.)]) +)\S")
ELSEWHERE_ONLY = {"file", "append", "through", "by", "not-run"}


class PageError(Exception):
    """What is wrong with a page, with the line where it is."""

    def __init__(self, page: str, line: int, message: str) -> None:
        super().__init__(f"{page}:{line}: {message}")


@dataclass
class Directive:
    line: int
    flags: set[str] = field(default_factory=set)
    values: dict[str, str] = field(default_factory=dict)
    replacements: list[tuple[str, str]] = field(default_factory=list)

    def __contains__(self, name: str) -> bool:
        return name in self.flags or name in self.values or (name == "replace" and bool(self.replacements))

    def limit(self, otherwise: float) -> float:
        return float(self.values.get("limit", otherwise))


@dataclass
class Block:
    """A block of a page. `line` is that of its first line of text, counted from 1."""

    language: str
    line: int
    lines: list[str]
    directive: Directive
    # Whether it stands right behind an `sh` block, and so is what that one prints.
    is_output: bool = False

    @property
    def text(self) -> str:
        text = "".join(line + "\n" for line in self.lines)
        for shown, meant in self.directive.replacements:
            text = text.replace(shown, meant)
        return text


@dataclass
class Page:
    name: str
    blocks: list[Block]
    on: str = "machine"
    has: list[str] = field(default_factory=list)
    limit: float = 180

    @property
    def needs_a_shell(self) -> bool:
        return any(is_executed(block) for block in self.blocks)


def is_executed(block: Block) -> bool:
    """Whether anything is done for a block when its page is tested, beside reading it."""
    if "not-run" in block.directive or "by" in block.directive:
        return False
    return block.language in COMMANDS or any(name in block.directive for name in ("file", "append", "through", "interrupt"))


class Reader:
    """Reads one page, line by line."""

    def __init__(self, name: str, text: str, root: Path) -> None:
        self.name = name
        self.text = text
        self.root = root
        self.lines = text.splitlines()
        self.at = 0
        self.page = Page(name, [])
        self.directive: Directive | None = None
        # How far the text of the list item at this place is indented; 0 outside of lists.
        self.list_indent = 0
        self.is_behind_commands = False
        self.is_after_blank = True

    def error(self, line: int, message: str) -> PageError:
        return PageError(self.name, line, message)

    def read(self) -> Page:
        while self.at < len(self.lines):
            line = self.lines[self.at]
            if fence := FENCE.match(line):
                self.block(fence)
            elif comment := COMMENT.match(line):
                self.comment(comment["text"])
            elif not line.strip():
                self.at += 1
                self.is_after_blank = True
            else:
                self.prose(line)
        if self.directive:
            raise self.error(self.directive.line, "there is no block behind this directive")
        return self.page

    def prose(self, line: str) -> None:
        indent = len(line) - len(line.lstrip(" "))
        if self.directive:
            raise self.error(self.directive.line, "a directive stands right before its block; here is text in between")
        if item := LIST_ITEM.match(line):
            is_deeper = indent >= self.list_indent + 4 and self.is_after_blank
            if not is_deeper:
                self.list_indent = len(item["marker"])
                indent = 0
        elif indent < min(self.list_indent, 2):
            self.list_indent = 0
        if "\t" in line[: len(line) - len(line.lstrip())] or (self.is_after_blank and indent >= self.list_indent + 4):
            raise self.error(self.at + 1, "a block that is made by indentation; put it between ``` with its language")
        self.at += 1
        self.is_after_blank = False
        self.is_behind_commands = False

    def comment(self, text: str) -> None:
        line = self.at + 1
        first, closed, _ = text.partition("-->")
        body: list[str] = []
        self.at += 1
        while not closed:
            if self.at == len(self.lines):
                raise self.error(line, "this directive has no end (-->)")
            if self.lines[self.at].strip() == "-->":
                closed = "-->"
            else:
                body.append(self.lines[self.at])
            self.at += 1
        try:
            words = shlex.split(first)
        except ValueError as problem:
            raise self.error(line, f"this directive cannot be read: {problem}") from None
        if words[:1] == ["page"]:
            self.about_page(line, words[1:])
            return
        if self.directive:
            raise self.error(line, "there are two directives; write what they say into one")
        directive = self.parsed(line, words)
        if "run" in directive:
            if not body:
                raise self.error(line, "run has no commands: they are on the lines behind it, before -->")
            self.add(Block("sh", line + 1, body, directive))
        elif body:
            raise self.error(line, "only a directive with run has several lines")
        elif "interrupt" in directive:
            self.add(Block("", line, [], directive))
        else:
            self.directive = directive

    def parsed(self, line: int, words: list[str]) -> Directive:
        directive = Directive(line)
        for word in words:
            name, has_value, value = word.partition("=")
            if name not in BLOCK_DIRECTIVES:
                raise self.error(line, f"{name!r} is no directive; there are {', '.join(BLOCK_DIRECTIVES)} and page")
            if bool(has_value) != BLOCK_DIRECTIVES[name]:
                raise self.error(line, f"{name} has {'no value' if has_value else f'a value: {name}=…'}")
            if name in directive and name != "replace":
                raise self.error(line, f"{name} stands here twice")
            if name in ("limit", "exit") and not value.isdigit():
                raise self.error(line, f"{name}={value} is no number")
            if name == "replace":
                shown, arrow, meant = value.partition("=>")
                if not (shown and arrow):
                    raise self.error(line, f"replace={value!r} is not of the form SHOWN=>MEANT")
                directive.replacements.append((shown, meant))
            elif has_value:
                directive.values[name] = value
            else:
                directive.flags.add(name)
        if "until" in directive and "background" not in directive:
            raise self.error(line, "until=… is for what goes on in the background")
        if ("not-run" in directive) != ("because" in directive):
            raise self.error(line, "not-run and because=… stand together")
        return directive

    def about_page(self, line: int, words: list[str]) -> None:
        if self.page.blocks or self.directive:
            raise self.error(line, "what is said of the page stands before its first block")
        for word in words:
            name, _, value = word.partition("=")
            if name not in PAGE_DIRECTIVES:
                raise self.error(line, f"{name!r} is nothing that can be said of a page; there are {', '.join(PAGE_DIRECTIVES)}")
            choices = PAGE_DIRECTIVES[name]
            for one in value.split(","):
                if choices and one not in choices:
                    raise self.error(line, f"{name}={one} is not one of {', '.join(choices)}")
            if name == "on":
                self.page.on = value
            elif name == "has":
                self.page.has = value.split(",")
            elif value.isdigit():
                self.page.limit = float(value)
            else:
                raise self.error(line, f"limit={value} is no number")

    def block(self, fence: re.Match[str]) -> None:
        opened = self.at + 1
        indent = len(fence["indent"])
        language = fence["info"].split(" ")[0].split(",")[0]
        self.at += 1
        lines: list[str] = []
        while self.at < len(self.lines):
            line = self.lines[self.at]
            self.at += 1
            end = line.strip()
            if end.startswith(fence["fence"]) and not end.strip(fence["fence"][0]):
                break
            lines.append(line[min(indent, len(line) - len(line.lstrip(" "))) :])
        else:
            raise self.error(opened, "this block has no end")
        directive = self.directive or Directive(opened)
        self.directive = None
        block = Block(language, opened + 1, lines, directive)
        block.is_output = language in ("text", "json") and (
            "prints" in directive or (self.is_behind_commands and not directive.flags and not directive.values)
        )
        self.check(block, opened)
        self.add(block)

    def add(self, block: Block) -> None:
        self.page.blocks.append(block)
        self.is_behind_commands = block.language in COMMANDS and is_executed(block)
        self.is_after_blank = True

    def check(self, block: Block, opened: int) -> None:
        """Refuses a block of which nobody would know what becomes of it."""
        language, directive = block.language, block.directive
        if not language:
            raise self.error(opened, "a block without a language: sh for commands, text for what they print")
        for shown, _ in directive.replacements:
            if not any(shown in line for line in block.lines):
                raise self.error(directive.line, f"there is no {shown!r} in this block to replace")
        chosen = [name for name in ELSEWHERE_ONLY if name in directive]
        if len(chosen) > 1:
            raise self.error(directive.line, f"{' and '.join(sorted(chosen))} contradict each other")
        for name in ("background", "exit", "limit"):
            if name in directive and language not in COMMANDS and "through" not in directive:
                raise self.error(directive.line, f"{name} is for commands, and this block is {language}")
        if ("prints" in directive or "shown" in directive) and language not in ("text", "json"):
            raise self.error(directive.line, f"what is printed is text or json, and this block is {language}")
        for name in ("file", "append"):
            if name in directive:
                self.check_that_readers_see(directive, directive.values[name])
        if "by" in directive:
            self.check_that_it_is_run(block, directive.values["by"])
        if language in DATA and not block.is_output and "not-run" not in directive:
            self.check_form(block, opened)
        if not chosen and language not in (*COMMANDS, *DATA, "text", "markdown"):
            raise self.error(opened, f"a block of {language} needs a directive that says what becomes of it, such as file=…")

    def check_that_readers_see(self, directive: Directive, path: str) -> None:
        seen = re.sub(r"<!--.*?-->", "", self.text, flags=re.DOTALL)
        if path not in seen:
            raise self.error(directive.line, f"the page does not tell its readers that this block is {path}")

    def check_that_it_is_run(self, block: Block, file: str) -> None:
        path = self.root / file
        if not path.is_file():
            raise self.error(block.directive.line, f"there is no file {file}, which is to execute this block")
        executed = path.read_text()
        for line in block.text.splitlines():
            command = line.split("#")[0].strip()
            if command and not re.search(rf"(?<![\w/.-]){re.escape(command)}(?![\w/-])", executed):
                raise self.error(block.line, f"{file} does not execute {command!r}")

    def check_form(self, block: Block, opened: int) -> None:
        text = block.text
        try:
            if block.language == "json":
                json.loads(text)
            elif block.language == "toml":
                tomllib.loads(text)
            else:
                list(yaml.safe_load_all(text))
        except (ValueError, yaml.YAMLError) as problem:
            raise self.error(opened, f"this {block.language} is not well-formed: {problem}") from None


def read_page(path: Path, root: Path) -> Page:
    """The page of a file, under its name in the working copy."""
    name = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
    return Reader(name, path.read_text(), root).read()
