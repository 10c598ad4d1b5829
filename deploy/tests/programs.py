"""Programs that tests start on this machine, and tasks for them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from conftest import is_ready, post_task, result_of, until


class Program:
    """A program that writes its log into a file, and is killed with its block where it has not ended."""

    def __init__(self, log: Path, *command: str | Path, **environment: str) -> None:
        self.log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PYTHONUNBUFFERED": "1"} | environment,
            )

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def find(self, pattern: str) -> str:
        """What the group of the pattern is in the first line of the log that has it."""

        def found() -> str | None:
            text = re.sub(r"\x1b\[[0-9;]*m", "", self.log.read_text())
            match = re.search(pattern, text)
            assert match or self.process.poll() is None, f"it has ended, and said:\n{text}"
            return match and match[1]

        group: str = until(f"a line with {pattern}", found)
        return group

    def stop(self) -> None:
        """Has it end in order."""
        self.process.terminate()
        assert self.process.wait(60) == 0, self.log.read_text()


def start_afm(folder: Path, program: str | Path, database: str = "sqlite://") -> tuple[Program, str]:
    """An AFM, ours or the original, that is ready, and where it listens."""
    command = [program, "--database-uri", database, "run", "127.0.0.1", "0"]
    afm = Program(folder / "afm.log", *command)
    return afm, f"http://{afm.find(r'(?:listening addr=|Running on http://)([0-9.]+:[0-9]+)')}"


def execute_a_task(folder: Path, afm_program: Path, agent_program: Path) -> None:
    """Starts an AFM and an agent, has them execute a task, and stops both."""
    afm, url = start_afm(folder, afm_program)
    with afm:
        until("an AFM that is ready", lambda: is_ready(url))
        state = f"--state-folder={folder / 'state'}"
        with Program(folder / "agent.log", agent_program, "--url", url, state) as agent:
            task = post_task(url, "url_http_status", {"url": f"{url}/status"})
            assert result_of(url, task) == {"status": 200}
            agent.stop()
        afm.stop()
