"""The Debian package, on a machine with systemd: installed, used, upgraded, removed and purged."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from conftest import ROOT, Containers, podman, until

PACKAGES = ROOT / "target/packages"
UNITS = ["slamon-afm", "slamon-agent"]


class Machine:
    """A machine that systemd runs."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, *command: str, check: bool = True) -> str:
        return podman("exec", self.name, *command, check=check)

    def is_active(self, unit: str) -> bool:
        return self.run("systemctl", "is-active", unit, check=False) == "active"

    def install(self, revision: int) -> None:
        (package,) = PACKAGES.glob(f"slamon-afm_*-{revision}_*.deb")
        self.run("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", "--install", "--force-confold", f"/packages/{package.name}")

    def execute(self, task_type: str, data: str) -> dict[str, object]:
        told = self.run("slamon-afm", "task", "post", task_type, "--data", data, "--wait", "--for", "60", "--json", check=False)
        task: dict[str, object] = json.loads(told.splitlines()[-1])
        return task


@pytest.fixture
def machine(containers: Containers) -> Iterator[Machine]:
    name = containers.start(
        "--systemd=always", "--privileged", "--network=none", f"--volume={PACKAGES}:/packages:ro", "slamon-test-systemd"
    )
    machine = Machine(name)
    started = ["running", "degraded"]
    until("systemd", lambda: machine.run("systemctl", "is-system-running", check=False) in started)
    yield machine
    print(machine.run("journalctl", "--no-pager", "--unit=slamon-afm", "--unit=slamon-agent", check=False))


def test_the_life_of_a_package(machine: Machine) -> None:
    machine.install(1)
    until("the AFM", lambda: machine.is_active("slamon-afm"))
    assert machine.run("slamon-afm", "health") == "ready"
    # Nobody has said yet where its AFM is.
    assert not machine.is_active("slamon-agent")
    machine.run("systemctl", "start", "slamon-agent")
    task = machine.execute("url_http_status", '{"url": "http://127.0.0.1:8080/status"}')
    assert task["task_result"] == {"status": 200}, task

    for unit in UNITS:
        exposure = machine.run("systemd-analyze", "security", "--no-pager", unit).splitlines()[-1]
        assert float(exposure.split(":")[1].split()[0]) < 2.0, exposure
        pid = machine.run("systemctl", "show", "--property=MainPID", "--value", unit)
        assert f"\nUid:\t{machine.run('id', '-u', unit.replace('-afm', ''))}\t" in machine.run("cat", f"/proc/{pid}/status")
    for file in ["/etc/slamon/afm.cfg", "/etc/slamon/agent.toml", "/var/lib/slamon/afm.db"]:
        assert machine.run("stat", "--format=%a", file) in ("640", "600"), file
    assert machine.run("man", "--where", "slamon-afm-task-post").endswith("/slamon-afm-task-post.1.gz")
    completed = machine.run(
        "bash", "-c", ". /usr/share/bash-completion/bash_completion; _completion_loader slamon-afm; complete -p slamon-afm"
    )
    assert "slamon-afm" in completed

    # A log file is rotated, and written on after that.
    machine.run("sh", "-c", "echo \"LOG_FILE = '/var/log/slamon/afm.log'\" >> /etc/slamon/afm.cfg; systemctl restart slamon-afm")
    until("the log", lambda: machine.run("cat", "/var/log/slamon/afm.log", check=False))
    machine.run("logrotate", "--force", "/etc/logrotate.d/slamon-afm")
    machine.run("slamon-afm", "status")
    until("lines in the new log", lambda: "/api/v1/overview" in machine.run("cat", "/var/log/slamon/afm.log", check=False))

    # An upgrade keeps tasks and settings, and restarts what runs.
    before = machine.run("systemctl", "show", "--property=MainPID", "--value", "slamon-afm")
    machine.install(2)
    until("the AFM", lambda: machine.is_active("slamon-afm"))
    assert machine.run("systemctl", "show", "--property=MainPID", "--value", "slamon-afm") != before
    assert machine.is_active("slamon-agent")
    kept = json.loads(machine.run("slamon-afm", "task", "get", str(task["task_id"]), "--json"))
    assert kept["task_result"] == {"status": 200}
    assert "LOG_FILE" in machine.run("tail", "-n", "1", "/etc/slamon/afm.cfg")

    machine.run("dpkg", "--remove", "slamon-afm")
    for unit in UNITS:
        assert not machine.is_active(unit)
    machine.run("test", "-e", "/var/lib/slamon/afm.db")
    machine.run("dpkg", "--purge", "slamon-afm")
    for left in ["/var/lib/slamon", "/var/lib/slamon-agent", "/var/log/slamon", "/etc/slamon", "/etc/default/slamon-afm"]:
        assert machine.run("ls", left, check=False) == "", left
