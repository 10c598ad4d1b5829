"""`scripts/release`: what it refuses, what it makes, and that what it makes is checked."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import tomllib
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from conftest import ROOT, run

VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
TAG = f"v{VERSION}"
FILES = ROOT / "target/release-files"
MACHINE = os.uname().machine


def loaded(source: Path) -> ModuleType:
    """The script of a working copy as a module."""
    spec = importlib.util.spec_from_loader("release", SourceFileLoader("release", str(source / "scripts/release")))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Source:
    """A working copy of its own, with what is not committed here committed there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        run("git", "clone", "--quiet", "--shared", str(ROOT), str(path))
        changed = run("git", "diff", "--name-only", "HEAD", cwd=ROOT).splitlines()
        for name in changed + run("git", "ls-files", "--others", "--exclude-standard", cwd=ROOT).splitlines():
            if (ROOT / name).is_file():
                (path / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, path / name)
        # A date, whether it has one already or not.
        changelog = path / "CHANGELOG.md"
        changelog.write_text(
            re.sub(rf"(?m)^## {re.escape(VERSION)} \(.*\)$", f"## {VERSION} (2026-12-01)", changelog.read_text(), count=1)
        )
        self.commit()
        self.git("tag", TAG)

    def git(self, *arguments: str) -> None:
        run("git", "-c", "user.name=nobody", "-c", "user.email=nobody@example.org", *arguments, cwd=self.path)

    def commit(self) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message=as it is to be released")

    def edit(self, file: str, pattern: str, by: str) -> None:
        text = (self.path / file).read_text()
        assert pattern in text, f"{file} has no {pattern}"
        (self.path / file).write_text(text.replace(pattern, by, 1))

    def release(self, *arguments: str) -> tuple[int, str]:
        command = [str(self.path / "scripts/release"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path / "source")


def test_a_source_that_agrees_with_its_tag_may_be_released(source: Source) -> None:
    status, said = source.release("--check", "--tag", TAG)
    assert (status, f"version {VERSION}: " in said) == (0, True), said


@pytest.mark.parametrize(
    ("file", "right", "wrong", "said"),
    [
        (
            "clients/python/pyproject.toml",
            f'version = "{VERSION}"',
            'version = "9.9.9"',
            f"the version is 9.9.9, and Cargo.toml has {VERSION}",
        ),
        ("deploy/kubernetes/overlays/production/kustomization.yaml", f'newTag: "{VERSION}"', "newTag: x", f"write {VERSION}"),
        ("Cargo.toml", f'version = "{VERSION}"', 'version = "2.0"', "the version 2.0 is not MAJOR.MINOR.PATCH"),
        (
            "Cargo.lock",
            f'name = "slamon-store"\nversion = "{VERSION}"',
            'name = "slamon-store"\nversion = "9.9.9"',
            "slamon-store has version 9.9.9",
        ),
        (
            "fuzz/Cargo.lock",
            f'name = "slamon-store"\nversion = "{VERSION}"',
            'name = "slamon-store"\nversion = "9.9.9"',
            "--manifest-path fuzz/Cargo.toml",
        ),
        ("CHANGELOG.md", f"## {VERSION} (2026-12-01)", f"## {VERSION} (unreleased)", f"there is a tag {TAG}: write the date"),
        ("CHANGELOG.md", f"## {VERSION} (2026-12-01)", f"## {VERSION} (2026-13-01)", "there is no day 2026-13-01"),
        ("CHANGELOG.md", f"## {VERSION} (2026-12-01)", f"## {VERSION}", "is not `## VERSION (DATE)`"),
        ("CHANGELOG.md", f"## {VERSION} (2026-12-01)", "## 9.9.9 (2026-12-01)", "the newest section is of 9.9.9"),
        (
            "CHANGELOG.md",
            f"## {VERSION} (2026-12-01)",
            f"## {VERSION} (2026-12-01)\n\n## 1.0.0 (2026-01-01)",
            "the section is empty",
        ),
        ("CHANGELOG.md", f"## {VERSION} (2026-12-01)", "", "there is no section"),
    ],
)
def test_what_does_not_agree_is_refused(source: Source, file: str, right: str, wrong: str, said: str) -> None:
    source.edit(file, right, wrong)
    source.commit()
    source.git("tag", "--force", TAG)
    status, all_said = source.release("--check", "--tag", TAG)
    assert status == 1
    (line,) = [line for line in all_said.splitlines() if said in line]
    assert line.startswith(f"release: {file}"), line


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("v9.9.9", f"the tag has to be {TAG}"),
        ("v9.9.9", "there is no tag v9.9.9 here"),
        ("$(touch x)", "there is no tag $(touch x) here"),
    ],
)
def test_a_tag_of_another_version_is_refused(source: Source, tag: str, said: str) -> None:
    status, all_said = source.release("--check", "--tag", tag)
    assert status == 1
    assert said in all_said
    assert not list(source.path.rglob("x"))


def test_what_is_not_what_was_tagged_is_refused(source: Source) -> None:
    (source.path / "forgotten.txt").write_text("")
    status, said = source.release("--check", "--tag", TAG)
    assert (status, "commit or remove forgotten.txt" in said) == (1, True), said
    source.commit()
    status, said = source.release("--check", "--tag", TAG)
    assert (status, f"run `git checkout {TAG}`" in said) == (1, True), said


def test_a_lock_file_that_is_not_current_is_refused(source: Source) -> None:
    lock = source.path / "Cargo.lock"
    packages = lock.read_text().split("\n\n")
    lock.write_text("\n\n".join(package for package in packages if 'name = "slamon-command-line"' not in package))
    source.commit()
    source.git("tag", "--force", TAG)
    status, said = source.release("--check", "--tag", TAG)
    assert (status, "Cargo.lock does not fit Cargo.toml" in said) == (1, True), said


def test_the_notes_are_the_section_of_the_changelog(source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    source.edit(
        "CHANGELOG.md",
        f"## {VERSION} (2026-12-01)\n",
        f"## {VERSION} (2026-12-01)\n\nSee [a](docs/a.md), [b](https://b.example.org).\n\n## 1.0.0 (2026-01-01)\n",
    )
    module = loaded(source.path)
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    assert module.notes(TAG) == "See [a](docs/a.md), [b](https://b.example.org).\n"
    monkeypatch.setenv("GITHUB_REPOSITORY", "somebody/something")
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    address = f"https://github.com/somebody/something/blob/{TAG}/docs/a.md"
    assert module.notes(TAG) == f"See [a]({address}), [b](https://b.example.org).\n"


@pytest.fixture(scope="module")
def made() -> str:
    """What a dry run here says, which leaves its files in target/release-files."""
    return run("bash", "-c", "scripts/release --dry-run --allow-dirty", cwd=ROOT)


@pytest.fixture
def files(made: str, tmp_path: Path) -> Path:
    """A copy of these files, to break."""
    return Path(shutil.copytree(FILES, tmp_path / "files"))


def test_a_dry_run_makes_all_files_of_this_machine(made: str) -> None:
    names = {path.name for path in FILES.iterdir()}
    assert {f"slamon-{VERSION}-{MACHINE}-linux.tar.gz", "SHA256SUMS"} <= names
    assert {f"{program}-{VERSION}-{MACHINE}-linux.cdx.json" for program in ("slamon-afm", "slamon-agent")} <= names
    assert any(name.endswith(".deb") for name in names)
    assert any(name.endswith(".whl") for name in names)
    assert {line.split("  ")[1] for line in (FILES / "SHA256SUMS").read_text().splitlines()} == names - {"SHA256SUMS"}
    assert (ROOT / "target/release-notes.md").read_text().strip() == loaded(ROOT).section_of_changelog()[2]
    assert "Only the workflow release.yml does the rest" in made


def test_whoever_downloads_the_files_sees_what_is_not_as_it_was(files: Path) -> None:
    check = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    assert subprocess.run(check, cwd=files).returncode == 0
    (package,) = files.glob("*.deb")
    with package.open("r+b") as file:
        file.seek(1000)
        file.write(b"another byte")
    assert subprocess.run(check, cwd=files, capture_output=True).returncode == 1


def altered(bill: dict[str, Any], how: str) -> None:
    registry = [each for each in bill["components"] if each["purl"] == f"pkg:cargo/{each['name']}@{each['version']}"]
    if how == "lacks":
        bill["components"].remove(registry[7])
    elif how == "checksum":
        registry[7]["hashes"][0]["content"] = "0" * 64
    elif how == "version":
        registry[7]["version"] = "99.0.0"
    elif how == "about":
        bill["metadata"]["component"]["version"] = "1.1.0"
    else:
        assert not how


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("", ""),
        ("lacks", "it lacks ["),
        ("checksum", "the checksum of"),
        ("version", "99.0.0 is not in Cargo.lock"),
        ("about", "1.1.0, and not"),
    ],
)
def test_a_bill_of_materials_that_is_wrong_is_refused(files: Path, how: str, said: str) -> None:
    path = files / f"slamon-afm-{VERSION}-{MACHINE}-linux.cdx.json"
    bill = json.loads(path.read_text())
    assert len(bill["components"]) > 100
    altered(bill, how)
    path.write_text(json.dumps(bill))
    if not how:
        loaded(ROOT).verify(files, VERSION, MACHINE)
        return
    with pytest.raises(SystemExit, match=re.escape(said)):
        loaded(ROOT).verify(files, VERSION, MACHINE)


def test_an_archive_with_another_version_in_it_is_refused(files: Path, tmp_path: Path) -> None:
    name = f"slamon-{VERSION}-{MACHINE}-linux"
    archive = files / f"{name}.tar.gz"
    run("tar", "--extract", "--file", str(archive), "--directory", str(tmp_path))
    (tmp_path / name / "slamon-agent").write_text("#!/bin/sh\necho slamon-agent 1.1.0\n")
    run("tar", "--create", "--gzip", "--file", str(archive), "--directory", str(tmp_path), name)
    with pytest.raises(
        SystemExit, match=re.escape(f"slamon-agent says it is `slamon-agent 1.1.0`, and not `slamon-agent {VERSION}`")
    ):
        loaded(ROOT).verify(files, VERSION, MACHINE)


def test_files_of_both_machines_are_needed_for_a_tag(source: Source, made: str) -> None:
    there = source.path / "target/release-files"
    shutil.copytree(FILES, there)
    status, said = source.release("--collect", "--tag", TAG)
    other = "aarch64" if MACHINE == "x86_64" else "x86_64"
    assert (status, f"lacks slamon-{VERSION}-{other}-linux.tar.gz" in said) == (1, True), said
    # Those of the other machine, as far as `--collect` looks into them.
    debian = {"x86_64": "amd64", "aarch64": "arm64"}
    for path in set(there.iterdir()) - {there / "SHA256SUMS"}:
        shutil.copy(path, there / path.name.replace(MACHINE, other).replace(debian[MACHINE], debian[other]))
    status, said = source.release("--collect", "--tag", TAG)
    assert (status, "SHA256SUMS fits all files" in said) == (0, True), said
    assert len((there / "SHA256SUMS").read_text().splitlines()) == len(list(there.iterdir())) - 1


def test_what_was_interrupted_leaves_nothing_that_looks_whole(made: str) -> None:
    command = [str(ROOT / "scripts/release"), "--dry-run", "--allow-dirty"]
    # A group of its own, which gets what Ctrl-C sends.
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout
    for line in process.stdout:
        if "2/4" in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "release: interrupted" in errors
    assert not FILES.exists()
