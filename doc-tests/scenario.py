"""Executes a page: block after block, in one shell."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from compare import is_match
from pages import Block, Page, is_executed
from shell import Background, CommandError, Shell, commands_of

COMMAND_LIMIT = 60


class PageFailed(Exception):
    """What is wrong, where, and what was printed."""


def indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.strip("\n").splitlines()) or "    (nothing)\n"


class Scenario:
    def __init__(self, page: Page, shell: Shell, tell: Callable[[str], None] = lambda text: None) -> None:
        self.page = page
        self.shell = shell
        self.tell = tell
        self.end = time.monotonic() + page.limit
        # What the last block of commands has printed; or that goes on, and what it prints.
        self.printed = ""
        self.going_on: Background | None = None
        self.going_on_limit: float = COMMAND_LIMIT
        self.begun: list[tuple[int, str, Background]] = []

    def run(self) -> None:
        for block in self.page.blocks:
            if is_executed(block):
                self.tell(f"line {block.line}")
                self.execute(block)
            if block.is_output:
                self.compare(block)
        for line, text, begun in self.begun:
            if begun.exit.exists() and (status := begun.exit.read_text().strip()) != "0" and begun in self.shell.running:
                raise self.failed(line, text, CommandError(f"ended with exit status {status} before the page did", begun.output))

    def failed(self, line: int, command: str, problem: CommandError) -> PageFailed:
        others = "".join(
            f"\nWhat goes on in the background has printed, at the end:\n{indented(begun.output[-3000:])}" for begun in self.shell.running
        )
        return PageFailed(f"{self.page.name}:{line}: {problem}\n{indented(command)}It printed:\n{indented(problem.output)}{others}")

    def limit(self, block: Block) -> float:
        """How long the next command may take: until its own limit, or that of the page."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise PageFailed(
                f"{self.page.name}:{block.line}: the page has taken more than its limit of {self.page.limit:g} s before this block"
            )
        return min(block.directive.limit(COMMAND_LIMIT), left)

    def execute(self, block: Block) -> None:
        directive = block.directive
        if "interrupt" in directive:
            self.interrupt(block)
            return
        for name in ("file", "append"):
            if name in directive:
                self.attempt(block.line, directive.values[name], partial(self.write, block, name))
                return
        commands = self.commands(block)
        # What is not shown prints nothing that is.
        is_hidden = "run" in directive
        if not is_hidden:
            self.going_on = None
        if "background" in directive:
            line, text = commands[0]
            if len(commands) > 1:
                raise PageFailed(f"{self.page.name}:{block.line}: a block that goes on in the background has one command")
            self.begin(block, line, text)
            return
        printed = ""
        expected = int(directive.values.get("exit", 0))
        for line, text in commands:
            status = expected if (line, text) == commands[-1] else 0
            limit = self.limit(block)
            printed += self.attempt(line, text, partial(self.shell.run, text, limit, status))
        if not is_hidden:
            self.printed = printed

    def attempt(self, line: int, text: str, act: Callable[[], str]) -> str:
        try:
            return act()
        except CommandError as problem:
            raise self.failed(line, text, problem) from None

    def write(self, block: Block, name: str) -> str:
        self.shell.write(block.directive.values[name], block.text, append=name == "append")
        return ""

    def commands(self, block: Block) -> list[tuple[int, str]]:
        """The commands of a block, each with its line on the page."""
        if "through" in block.directive:
            content = self.shell.content(block.text)
            return [(block.line, f"{{ {block.directive.values['through']}\n}} <{content}")]
        if block.language == "python":
            # Its lines have the numbers that they have on the page.
            content = self.shell.content("\n" * (block.line - 1) + block.text, suffix=".py")
            return [(block.line, f"python3 -u {content}")]
        return [(block.line + place, command) for place, command in commands_of(block.text)]

    def begin(self, block: Block, line: int, text: str) -> None:
        def act() -> str:
            limit = self.limit(block)
            begun = self.shell.begin(text)
            if "run" not in block.directive:
                self.going_on, self.going_on_limit = begun, limit
            self.begun.append((line, text, begun))
            if awaited := block.directive.values.get("until", ""):
                self.wait(begun, limit, f"has not printed {awaited!r}", lambda: awaited in begun.output)
            return ""

        self.attempt(line, text, act)

    def wait(self, begun: Background, limit: float, otherwise: str, is_true: Callable[[], bool]) -> None:
        end = time.monotonic() + limit
        while True:
            has_ended = begun.exit.exists()
            if is_true():
                return
            if has_ended:
                raise CommandError(f"{otherwise}, and has ended with exit status {begun.exit.read_text().strip()}", begun.output)
            if time.monotonic() > end:
                raise CommandError(f"{otherwise} within {limit:g} s", begun.output)
            time.sleep(0.02)

    def interrupt(self, block: Block) -> None:
        if not self.shell.running:
            raise PageFailed(f"{self.page.name}:{block.line}: there is nothing in the background to interrupt")
        expected = int(block.directive.values.get("exit", 0))

        def act() -> str:
            status, self.printed = self.shell.interrupt(self.limit(block))
            if status != expected:
                raise CommandError(f"ended with exit status {status} at SIGINT, and not with {expected}", self.printed)
            return self.printed

        self.attempt(block.line, "SIGINT", act)
        self.going_on = None

    def compare(self, block: Block) -> None:
        shown = block.text
        begun = self.going_on
        if begun is None:
            if not is_match(block.language, shown, self.printed):
                self.differs(block, self.printed)
            return
        try:
            limit = min(self.going_on_limit, self.limit(block))
            self.wait(begun, limit, "has not printed this", lambda: is_match(block.language, shown, begun.output, is_beginning=True))
        except CommandError as problem:
            self.differs(block, problem.output)

    def differs(self, block: Block, printed: str) -> None:
        raise PageFailed(
            f"{self.page.name}:{block.line}: this is not what was printed\nThe page shows:\n{indented(block.text)}It printed:\n{indented(printed)}"
        )
