"""Every page: that its commands work, and print what it shows."""

from __future__ import annotations

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
    found = []
    for name in all_pages():
        for block in read_page(ROOT / name, ROOT).blocks:
            if "not-run" in block.directive:
                first = next((line.strip() for line in block.lines if line.strip()), "")
                found.append(f"{name}: {first}\n    {block.directive.values['because']}\n")
    assert "".join(found) == (ROOT / "doc-tests/not-run.txt").read_text(), "write doc-tests/not-run.txt anew, or have the blocks executed"
