"""Tests of pages begin all together, two at a time, and are reported in their order."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import pytest
from machines import Host, Machine, WorkingCopy
from pages import read_page
from scenario import Scenario

ROOT = Path(__file__).parents[1]
AT_ONCE = int(os.environ.get("TEST_JOBS", "2"))


def pytest_configure() -> None:
    # Ended from outside, the tests remove their containers as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--page", action="append", metavar="FILE", help="a page to test, from the root of the working copy; all without it")


def all_pages() -> list[str]:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        capture_output=True,
        text=True,
        check=True,
    )
    return sorted(name for name in set(listed.stdout.split()) if (ROOT / name).is_file())


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "page_name" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--page") or all_pages()
        metafunc.parametrize("page_name", [os.path.relpath(ROOT / name, ROOT) for name in chosen])


class Runs:
    """Executes pages, some at the same time."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(AT_ONCE)
        self.results: dict[str, Future[None]] = {}
        self.lock = threading.Lock()
        self.working_copy: WorkingCopy | None = None
        self.is_over = False
        # The machines of the pages that are being executed.
        self.begun: list[Machine | Host] = []

    def copy(self) -> WorkingCopy:
        with self.lock:
            if self.working_copy is None:
                self.working_copy = WorkingCopy(ROOT, ROOT / "target/doc-tests/slamon-afm")
            return self.working_copy

    def begin(self, names: list[str]) -> None:
        for name in names:
            self.results[name] = self.pool.submit(self.execute, name)

    def execute(self, name: str) -> None:
        page = read_page(ROOT / name, ROOT)
        if not page.needs_a_shell or self.is_over:
            return
        machine = Host(page, self.copy()) if page.on == "host" else Machine(page, self.copy())
        self.begun.append(machine)
        with machine as shell:
            Scenario(page, shell).run()

    def end(self) -> None:
        """Ends what is still being executed, as after Ctrl-C: a page whose machine is away fails at once."""
        self.is_over = True
        self.pool.shutdown(wait=False, cancel_futures=True)
        for run in self.results.values():
            while not run.done():
                for machine in self.begun:
                    machine.remove()
                wait([run], timeout=0.5)


@pytest.fixture(scope="session")
def runs(request: pytest.FixtureRequest) -> Iterator[Runs]:
    begun = Runs()
    tests = [getattr(item, "callspec", None) for item in request.session.items]
    begun.begin([test.params["page_name"] for test in tests if test and "page_name" in test.params])
    yield begun
    begun.end()
