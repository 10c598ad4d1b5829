"""The workflows of GitHub: by actionlint, by their schema, and by rules of ours. All shell: by shellcheck."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, run

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
TOOLS = ROOT / ".deployment"
RELEASE = (ROOT / ".github/workflows/release.yml").read_text()


def problems(workflow: str) -> list[str]:
    script = Path(__file__).with_name("workflows.mjs").read_text()
    # Modules are found beside the script that names them.
    node = ["node", "--input-type=module", "--eval", script]
    done = subprocess.run(node, input=workflow, capture_output=True, text=True, cwd=TOOLS, timeout=120)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return found


def before(jobs: dict[str, Any], name: str) -> set[str]:
    """The jobs that have to pass before one begins."""
    needs = jobs.get(name, {}).get("needs", [])
    direct = {needs} if isinstance(needs, str) else set(needs)
    return direct.union(*(before(jobs, need) for need in direct))


def breaches(workflow: str) -> list[str]:
    """What is against our own rules, which docs/releases.md names."""
    read: dict[str, Any] = yaml.safe_load(workflow)
    found = []
    if read.get("permissions") != {}:
        found.append("what no job asks for is permitted")
    for name, job in read["jobs"].items():
        if "permissions" not in job:
            found.append(f"{name} says no permissions")
        permissions = job.get("permissions", {})
        published = [what for what in ("contents", "packages") if permissions.get(what) == "write"]
        if published and not {"check", "test", "build", "files"} <= before(read["jobs"], name):
            found.append(f"{name} writes {published[0]} before all is built, tested and checked")
        if "uses" not in job and "timeout-minutes" not in job:
            found.append(f"{name} has no time limit")
        for step in job.get("steps", []):
            if "${{" in step.get("run", ""):
                found.append(f"{name} has an expression in a command, where a tag's name would be a part of it")
            if "uses" in step and not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", step["uses"]):
                found.append(f"{name} uses {step['uses']}, which may become another program")
            if (
                step.get("uses", "").startswith("actions/checkout@")
                and step.get("with", {}).get("persist-credentials") is not False
            ):
                found.append(f"{name} leaves the token in the working copy")
    if "concurrency" not in read:
        found.append("it may run twice at the same time")
    return found


def test_the_workflows_are_right() -> None:
    texts = [path.read_text() for path in WORKFLOWS]
    assert len(texts) >= 2
    for text in texts:
        assert problems(text) == []
        assert breaches(text) == []


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("timeout-minutes: 15", "timeout-minute: 15", 'unexpected key "timeout-minute"'),
        ("cancel-in-progress: false", "cancel-in-progress: 7", "schema: "),
        ("${{ github.ref_name }}", "${{ github.ref_nam }}", 'property "ref_nam" is not defined'),
        ("${{ matrix.runner }}", "${{ matrix.runners }}", 'property "runners" is not defined'),
        ("steps.push.outputs", "steps.pushed.outputs", 'property "pushed" is not defined'),
        ("needs: [test, build]", "needs: [tests, build]", 'needs job "tests" which does not exist'),
        ("needs: check", "needs: publish", "cyclic dependencies"),
        ("runner: ubuntu-24.04-arm", "runner: ubuntu-24.04-arm64", 'label "ubuntu-24.04-arm64" is unknown'),
        ("attestations: write", "attestation: write", 'unknown permission scope "attestation"'),
    ],
)
def test_a_workflow_that_is_wrong_is_refused(right: str, wrong: str, said: str) -> None:
    assert right in RELEASE
    found = problems(RELEASE.replace(right, wrong))
    assert any(said in problem for problem in found), found


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("permissions: {}\n", "", "what no job asks for"),
        ("    permissions:\n      contents: write\n", "", "publish says no permissions"),
        ("timeout-minutes: 15", "", "check has no time limit"),
        ('--check --tag "$TAG"', "--check --tag ${{ github.ref_name }}", "check has an expression in a command"),
        ("checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd", "checkout@v6", "uses actions/checkout@v6"),
        ("persist-credentials: false", "persist-credentials: true", "leaves the token"),
        ("needs: files", "needs: build", "images writes packages before"),
        ("needs: [test, build]", "needs: build", "publish writes contents before"),
        ("concurrency:\n  group:", "other:\n  group:", "twice"),
    ],
)
def test_a_workflow_against_our_rules_is_refused(right: str, wrong: str, said: str) -> None:
    assert right in RELEASE
    found = breaches(RELEASE.replace(right, wrong))
    assert any(said in breach for breach in found), found


def commands() -> list[tuple[str, str]]:
    """The commands of all steps, and where they are."""
    found = []
    for path in WORKFLOWS:
        for name, job in yaml.safe_load(path.read_text())["jobs"].items():
            steps = [step for step in job.get("steps", []) if "run" in step]
            found += [(f"{path.name}-{name}-{number}", step["run"]) for number, step in enumerate(steps)]
    return found


def test_every_script_that_a_workflow_names_is_there() -> None:
    named = {match for _, command in commands() for match in re.findall(r"(?:^|\s)((?:\.ci|scripts)/[\w-]+)", command)}
    assert {".ci/run", "scripts/release"} <= named
    for script in named:
        mode = run("git", "ls-files", "--stage", script, cwd=ROOT).split(" ")[0]
        assert mode == "100755", f"{script} is not in the repository, or not executable"


def shell_scripts() -> list[Path]:
    files = [ROOT / name for name in run("git", "ls-files", cwd=ROOT).splitlines()]
    return [file for file in files if file.is_file() and re.match(rb"#!.*\b(ba|da)?sh\b", file.read_bytes()[:64])]


def test_shellcheck_has_nothing_against_any_shell(tmp_path: Path) -> None:
    files = shell_scripts()
    some = ["scripts/build-static", ".ci/run", "deploy/debian/scripts/postinst", "doc-tests/shims/docker"]
    assert {ROOT / name for name in some} <= set(files)
    for name, command in commands():
        file = tmp_path / f"{name}.sh"
        file.write_text(f"#!/bin/bash\n{command}\n")
        files.append(file)
    done = subprocess.run(["shellcheck", *map(str, files)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_shell_that_is_wrong_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "wrong.sh"
    file.write_text('#!/bin/bash\nfor name in $*; do rm -r $name/"x"; done\n')
    done = subprocess.run(["shellcheck", str(file)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "SC2048" in done.stdout
