"""A shell that a page is typed into."""

from __future__ import annotations

import contextlib
import math
import os
import re
import select
import signal
import subprocess
import tempfile
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

# Commands come on standard input, each ended by U+0000. What they print goes to standard output, and after each command a line with its
# status. As with `set -e`, a command that fails ends the shell; the line is written then, too.
DRIVER = r"""
exec 9<&0 </dev/null 2>&1
end_of_command() { printf '\n%s %s\n' "$DOC_TESTS_MARK" "$1"; }
trap 'end_of_command $?' EXIT
set -e -o pipefail
while IFS= read -r -d '' -u 9 DOC_TESTS_COMMAND; do
    eval "$DOC_TESTS_COMMAND" 9<&-
    end_of_command $?
done
trap - EXIT
"""
# Goes on in a process group of its own, of which the shell itself is not a part. The number is its name.
BACKGROUND = r"""
set -m
( set +e; trap : INT TERM; ( eval %(command)s ); echo $? >%(folder)s/%(number)d.part; mv %(folder)s/%(number)d.part %(folder)s/%(number)d.exit ) \
    >%(folder)s/%(number)d.log 2>&1 </dev/null &
set +m
echo $!
"""
# Writes a file of a page as the reader would: by sudo where the folder or the file is not the reader's.
WRITE = r"""(
file=%(path)s; folder=$(dirname -- "$file")
[ -d "$folder" ] || mkdir -p "$folder" 2>/dev/null || sudo mkdir -p "$folder"
if [ -w "$file" ] || { [ ! -e "$file" ] && [ -w "$folder" ]; }
then tee %(append)s "$file"; else sudo tee %(append)s "$file"; fi <%(content)s >/dev/null
)"""


class CommandError(Exception):
    """A command has failed; with all that it printed."""

    def __init__(self, message: str, output: str) -> None:
        super().__init__(message)
        self.output = output


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def commands_of(text: str) -> list[tuple[int, str]]:
    """The commands of a block, each with the place of its first line: as many lines as bash needs to understand it."""
    commands: list[tuple[int, str]] = []
    lines: list[str] = []
    begin = 0
    for number, line in enumerate(text.splitlines()):
        if not lines:
            begin = number
            if not line.strip() or line.lstrip().startswith("#"):
                continue
        lines.append(line)
        if not line.endswith("\\") and is_whole("\n".join(lines)):
            commands.append((begin, "\n".join(lines)))
            lines = []
    if lines:
        commands.append((begin, "\n".join(lines)))
    return commands


def is_whole(command: str) -> bool:
    checked = subprocess.run(["bash", "-n"], input=command, capture_output=True, text=True)
    return checked.returncode == 0 and "here-document" not in checked.stderr


@dataclass
class Background:
    number: int
    group: str
    log: Path
    exit: Path

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""


class Shell:
    """Bash, as `start` begins it. `folder` is one of this machine, which the shell sees as `seen_as`.

    What a shell on this machine leaves behind is ended by `close`; what one in a container does, with the container.
    """

    def __init__(self, start: list[str], folder: Path, seen_as: str, environment: dict[str, str] | None = None) -> None:
        self.mark = uuid.uuid4().hex
        self.folder = folder
        self.seen_as = seen_as
        self.running: list[Background] = []
        self.count = 0
        driver = f"DOC_TESTS_MARK={self.mark}\n{DRIVER}"
        self.process = subprocess.Popen(
            [*start, "bash", "--noprofile", "--norc", "-c", driver],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )

    def run(self, command: str, limit: float, expected: int = 0) -> str:
        """Runs one command, and gives what it printed."""
        assert self.process.stdin and self.process.stdout
        if expected:
            command = f"set +e\n{command}\n(exit $?)"
        try:
            self.process.stdin.write(command.encode() + b"\0")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise CommandError("the shell has ended before this command", "") from None
        status, output = self.answer(time.monotonic() + limit, limit)
        if status != expected:
            what = "failed" if expected == 0 else f"ended not with {expected} but"
            raise CommandError(f"{what} with exit status {status}" if expected == 0 else f"{what} with {status}", output)
        if expected:
            self.run("set -e", limit)
        return output

    def answer(self, end: float, limit: float) -> tuple[int, str]:
        assert self.process.stdout
        read = b""
        marked = re.compile(rb"\n" + self.mark.encode() + rb" (\d+)\n")
        while True:
            if found := marked.search(read):
                return int(found[1]), read[: found.start()].decode(errors="replace")
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise CommandError(f"had not ended after {math.ceil(limit)} s", read.decode(errors="replace"))
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                raise CommandError("the shell has ended without a status", read.decode(errors="replace"))
            read += piece

    def content(self, text: str, suffix: str = "") -> str:
        """A file with this content, under the name that the shell sees."""
        with tempfile.NamedTemporaryFile("w", dir=self.folder, suffix=suffix, delete=False) as file:
            file.write(text)
        os.chmod(file.name, 0o644)
        return f"{self.seen_as}/{Path(file.name).name}"

    def write(self, path: str, text: str, append: bool) -> None:
        home = "$HOME" if path == "~" or path.startswith("~/") else ""
        self.run(
            WRITE
            % {
                "path": home + quoted(path.removeprefix("~") if home else path),
                "append": "-a" if append else "",
                "content": self.content(text),
            },
            30,
        )

    def begin(self, command: str) -> Background:
        self.count += 1
        group = self.run(BACKGROUND % {"command": quoted(command), "folder": self.seen_as, "number": self.count}, 30)
        stem = self.folder / str(self.count)
        begun = Background(self.count, group.strip().splitlines()[-1], stem.with_suffix(".log"), stem.with_suffix(".exit"))
        self.running.append(begun)
        return begun

    def interrupt(self, limit: float) -> tuple[int, str]:
        """Ends what was begun last, and gives its exit status and output."""
        ended = self.running.pop()
        self.run(f"kill -INT -- -{ended.group}", 10)
        end = time.monotonic() + limit
        while not ended.exit.exists():
            if time.monotonic() > end:
                raise CommandError(f"had not ended {limit:g} s after SIGINT", ended.output)
            time.sleep(0.02)
        return int(ended.exit.read_text()), ended.output

    def close(self) -> None:
        groups = [self.process.pid]
        if self.seen_as == str(self.folder):
            groups += [int(begun.group) for begun in self.running]
        for group in groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self.process.wait()
