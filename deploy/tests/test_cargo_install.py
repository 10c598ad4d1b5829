"""`cargo install` from the source."""

from __future__ import annotations

import os
from pathlib import Path

from conftest import ROOT, run
from programs import execute_a_task


def test_cargo_installs_a_program_that_works(tmp_path: Path) -> None:
    host = next(line.split()[1] for line in run("rustc", "-vV").splitlines() if line.startswith("host:"))
    # As scripts/build-static does, so that nothing is compiled again.
    flags = {"CARGO_BUILD_TARGET": host, "RUSTFLAGS": "-C target-feature=+crt-static", "CARGO_INSTALL_ROOT": str(tmp_path)}
    run("sh", "-c", "cargo install --path crates/afm --locked", cwd=ROOT, env=os.environ | flags)
    program = tmp_path / "bin/slamon-afm"
    assert list(program.parent.iterdir()) == [program]
    execute_a_task(tmp_path, program, ROOT / "target/static/slamon-agent")
