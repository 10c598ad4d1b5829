"""The wheel, installed by pip in environments of its own, used, and taken away again."""

from __future__ import annotations

import json
import os
import shutil
import tomllib
from pathlib import Path
from platform import machine

from conftest import ROOT, get, post_task, run
from programs import execute_a_task, start_afm

PACKAGES = ROOT / "target/packages"
ORIGINAL = ROOT / ".venvs/afm-1.1.0"
MACHINE = machine()
AGENT = ROOT / "target/static/slamon-agent"
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
TAG = f"py3-none-manylinux2014_{MACHINE}.manylinux_2_17_{MACHINE}.musllinux_1_1_{MACHINE}"
WHEEL = str(PACKAGES / f"slamon_afm-{VERSION}-{TAG}.whl")

# As docs/packages.md says.
INSTALL = """
python3 -m venv ~/slamon
~/slamon/bin/pip install target/packages/slamon_afm-*.whl
~/slamon/bin/slamon-afm --version
"""


class Environment:
    """A virtual environment; nothing is installed in it but from files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bin = folder / "bin"

    def pip(self, *arguments: str) -> str:
        return run(str(self.bin / "python"), "-m", "pip", "--isolated", "--no-input", "--disable-pip-version-check", *arguments)

    def install(self, *arguments: str) -> None:
        self.pip("install", "--no-index", *arguments)

    def files(self) -> set[Path]:
        return {path.relative_to(self.folder) for path in self.folder.rglob("*") if "__pycache__" not in path.parts}


def test_it_puts_the_program_on_the_path_and_leaves_nothing(tmp_path: Path) -> None:
    home = os.environ | {"HOME": str(tmp_path)}
    make, *install = INSTALL.strip().splitlines()
    run("bash", "-c", make, cwd=ROOT, env=home)
    environment = Environment(tmp_path / "slamon")
    before = environment.files()
    assert run("bash", "-ec", "\n".join(install), cwd=ROOT, env=home).splitlines()[-1] == f"slamon-afm {VERSION}"
    program = environment.bin / "slamon-afm"
    assert run("sh", "-c", f". {environment.bin}/activate; command -v slamon-afm") == str(program)
    execute_a_task(tmp_path, program, AGENT)
    environment.pip("uninstall", "--yes", "slamon-afm")
    assert environment.files() == before


def test_pip_takes_it_for_any_linux(tmp_path: Path) -> None:
    run("python3", "-m", "venv", str(tmp_path / "environment"))
    environment = Environment(tmp_path / "environment")
    for system in ["manylinux2014", "manylinux_2_17", "musllinux_1_1"]:
        folder = tmp_path / system
        environment.install("--only-binary=:all:", f"--platform={system}_{MACHINE}", f"--target={folder}", WHEEL)
        assert run(str(folder / "bin/slamon-afm"), "--version") == f"slamon-afm {VERSION}"


def test_an_upgrade_from_the_original_keeps_its_tasks(tmp_path: Path) -> None:
    assert (ORIGINAL / "bin/slamon-afm").exists(), f"{ORIGINAL} is missing: run scripts/setup-tests"
    shutil.copytree(ORIGINAL, tmp_path / "environment", symlinks=True)
    environment = Environment(tmp_path / "environment")
    program = environment.bin / "slamon-afm"
    # What is copied would start the Python that it was copied from.
    script = program.read_text().split("\n", 1)[1]
    program.write_text(f"#!{environment.bin}/python\n{script}")

    database = f"sqlite:///{tmp_path}/afm.db"
    original, url = start_afm(tmp_path, program, database)
    with original:
        assert get(f"{url}/status")[0] == 200
        task = post_task(url, "nobody_has_it", {"ä": 1})

    environment.install("--upgrade", WHEEL)
    assert f"slamon-afm=={VERSION}" in environment.pip("list", "--format=freeze").splitlines()
    assert not list(environment.folder.rglob("slamon_afm/app.py"))
    ours, url = start_afm(tmp_path, program, database)
    with ours:
        status, body = get(f"{url}/task/{task}")
        assert (status, json.loads(body)["task_data"]) == (200, {"ä": 1}), body
        ours.stop()
