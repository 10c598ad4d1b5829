"""The static programs on systems that they were not built on: an old Debian, and one with nothing in it."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Containers, get, is_ready, logs, podman, post_task, result_of, until

PROGRAMS = f"--volume={ROOT / 'target/static'}:/programs:ro"
OLD = "localhost/slamon-test-debian:bullseye"
NOTHING = "localhost/slamon-test-nothing"


@pytest.fixture(params=[OLD, NOTHING])
def system(request: pytest.FixtureRequest) -> str:
    image: str = request.param
    if image == NOTHING:
        archive = subprocess.run(["tar", "-c", "-T", "/dev/null"], stdout=subprocess.PIPE, check=True).stdout
        subprocess.run(["podman", "import", "--quiet", "-", image], input=archive, check=True, stdout=subprocess.DEVNULL)
    return image


@pytest.fixture
def network() -> Iterator[str]:
    """A network whose DNS knows the names of its containers."""
    name = f"slamon-test-{uuid.uuid4().hex[:12]}"
    podman("network", "create", name)
    yield name
    podman("network", "rm", "--force", name)


def test_the_old_system_is_one_that_modules_of_libc_end_programs_on() -> None:
    """Otherwise the test below tests less than it should."""
    shown = podman("run", "--rm", OLD, "sh", "-c", "ldd --version; grep ^hosts: /etc/nsswitch.conf; ls /lib/*/libnss_myhostname.so.2")
    libc, hosts, module = (line for line in shown.splitlines() if line.startswith(("ldd ", "hosts:", "/lib/")))
    assert (libc.split()[-1], hosts.split()[-1]) == ("2.31", "myhostname"), module


def test_an_afm_and_an_agent_work_there(system: str, network: str, containers: Containers, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    place = [PROGRAMS, f"--volume={tmp_path}:/data", f"--network={network}"]
    database = "--database-uri=sqlite:////data/afm.db"
    afm = containers.start(*place, "--publish=127.0.0.1::8080", system, "/programs/slamon-afm", database, "run", "0.0.0.0", "8080")
    url = containers.url(afm)
    until("an AFM that is ready", lambda: is_ready(url))
    assert (tmp_path / "afm.db").exists()

    # The AFM's name is known to DNS, that of the shop is in /etc/hosts, and the third one is unknown.
    networks: dict[str, Any] = json.loads(podman("inspect", afm))[0]["NetworkSettings"]["Networks"]
    shop = f"--add-host=shop.example:{networks[network]['IPAddress']}"
    # Where DNS has not answered in time, it is asked again soon.
    command = ["/programs/slamon-agent", "--url", f"http://{afm}:8080", "--state-folder=/data/state", "--default-wait=1"]
    agent = containers.start(*place, shop, system, *command)
    unknown = post_task(url, "url_http_status", {"url": "http://unknown.invalid/"})

    def answer() -> str | None:
        assert json.loads(podman("inspect", agent))[0]["State"]["Running"], logs(agent)
        body = get(f"{url}/task/{unknown}?wait=2")[1]
        return body if "task_error" in body else None

    assert "unknown.invalid" in until("the end of a task", answer, 120)
    known = post_task(url, "url_http_status", {"url": "http://shop.example:8080/status"})
    assert result_of(url, known) == {"status": 200}
    for container in [agent, afm]:
        podman("stop", "--time", "40", container)
        assert json.loads(podman("inspect", container))[0]["State"]["ExitCode"] == 0, logs(container)
