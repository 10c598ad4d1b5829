"""Every page: that its commands work, and print what it shows."""

from __future__ import annotations

import os

import pytest
from conftest import ROOT, Runs, all_pages
from pages import PageError, read_page
from scenario import PageFailed


def test_page(page_name: str, runs: Runs) -> None:
    problem = runs.results[page_name].exception()
    if isinstance(problem, (PageError, PageFailed)):
        pytest.fail(str(problem), pytrace=False)
    elif problem:
        raise problem


def test_no_more_is_left_out_than_is_said() -> None:
    """not-run.txt has every block that nothing executes, with the reason, so that their number does not grow unseen."""
    found = ""
    for name in all_pages():
        for block in read_page(ROOT / name, ROOT).blocks:
            if "not-run" in block.directive:
                commands = "".join(f"    {line}\n" for line in block.lines if line.strip())
                found += f"{name}: {block.directive.values['because']}\n{commands}\n"
    listed = ROOT / "doc-tests/not-run.txt"
    if os.environ.get("WRITE_NOT_RUN"):
        listed.write_text(found)
    assert found == listed.read_text(), "have the blocks executed, or write the list anew: WRITE_NOT_RUN=1 scripts/test-docs -k left_out"
