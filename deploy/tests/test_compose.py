"""Docker Compose: the snippet of the original's page, and our own file with each of its profiles."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from compose_project import IMAGES, OURS, DockerProject, Posting, Project, Watching, docker_engine, in_a_hurry, running
from conftest import ROOT, get, is_ready, podman, post_task, result_of, run, until

# The services of the original's page under `services:`, which today's tools ask for, and a port for the test to come in.
ORIGINAL = """
services:
  afm:
    image: slamon/afm:stable
    ports: ["127.0.0.1:${{SLAMON_PORT}}:8080"]
  agent:
    image: {agent}
    environment:
      AFM: "http://slamon-afm:8080"
      HANDLERS: "slamon_agent.handlers"
      EXTRA_FLAGS: "-v"
    links:
     - afm:slamon-afm
"""
OBSERVABILITY = ["prometheus", "alertmanager"]
MEMORY = ["afm", "agent", *OBSERVABILITY]
POSTGRESQL = ["postgres", "afm-1", "afm-2", "proxy", "agent", *OBSERVABILITY]
PASSWORD = "ge$heim 'ä"


def executes_a_task(url: str) -> str:
    """An AFM answers at the URL, and an agent executes what is posted there."""
    until("an AFM that is ready", lambda: is_ready(url))
    task = post_task(url, "url_http_status", {"url": "http://slamon-afm:8080/status"})
    assert result_of(url, task) == {"status": 200}
    return task


class Fleet(DockerProject):
    """The profiles postgresql and observability, with somebody who watches."""

    watching: Watching


@pytest.fixture(scope="module", autouse=True)
def engine() -> Iterator[None]:
    with docker_engine():
        yield


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Runs while the other projects do, so that what is open for a minute costs no minute."""
    file = in_a_hurry(tmp_path_factory.mktemp("fleet"))
    project = Fleet(file, "slamon-test-fleet", "postgresql", "observability", POSTGRES_PASSWORD=PASSWORD)
    with running(project, "--pull=never", "--wait", *POSTGRESQL):
        project.watching = Watching(project.afm)
        yield project


def test_two_afms_behind_one_address_have_a_task_executed(fleet: Fleet) -> None:
    executes_a_task(fleet.afm)
    assert get(f"{fleet.afm}/dashboard/")[0] == 200
    for afm in ["afms/afm-1", "afms/afm-2"]:
        until(f"a request to {afm}", lambda afm=afm: is_ready(fleet.afm) and afm in fleet.logs("proxy"))


@pytest.mark.parametrize("service", POSTGRESQL)
def test_a_service_is_healthy_and_may_do_little(fleet: Fleet, service: str) -> None:
    until("a healthy container", lambda: fleet.is_healthy(service))
    about = fleet.inspect(service)
    assert about["HostConfig"]["ReadonlyRootfs"]
    assert "no-new-privileges" in about["HostConfig"]["SecurityOpt"]
    for published in about["HostConfig"]["PortBindings"].values():
        assert [binding["HostIp"] for binding in published or []] in ([], ["127.0.0.1"])
    if service != "postgres":
        assert about["EffectiveCaps"] in (None, [])


def test_prometheus_scrapes_each_afm_and_not_the_proxy(fleet: Fleet) -> None:
    until("both AFMs in Prometheus", lambda: fleet.scraped() == {"afm-1", "afm-2"})


def test_every_query_of_our_board_finds_data(fleet: Fleet) -> None:
    board = json.loads((ROOT / "deploy/grafana/slamon-afm.json").read_text())
    queries = [(panel["title"], target["expr"]) for panel in board["panels"] for target in panel.get("targets", [])]
    assert len(queries) > 40

    def has_numbers(query: str) -> bool:
        found = fleet.prometheus("query", query=query).get("result", [])
        # A quotient is not a number until something has happened.
        return any(not math.isnan(float(series["value"][1])) for series in found)

    with Posting(fleet.afm):
        for title, query in queries:
            asked = query.replace("$__rate_interval", "1m").replace("$task_type", ".*")
            assert "$" not in asked
            until(f"numbers for {title}: {asked}", lambda asked=asked: has_numbers(asked))
    types = fleet.prometheus("label/task_type/values", **{"match[]": "slamon_tasks_posted_total"})
    assert "url_http_status" in types


def test_grafana_would_find_our_board_and_prometheus(fleet: Fleet) -> None:
    """What can be said without a Grafana: its files are where it looks, and lead to what there is."""
    service = yaml.safe_load(OURS.read_text())["services"]["grafana"]
    mounts = dict(reversed(volume.split(":")[:2]) for volume in service["volumes"])
    etc = "/etc/grafana/provisioning"
    [sources] = (OURS.parent / mounts[f"{etc}/datasources"]).glob("*.yml")
    [source] = yaml.safe_load(sources.read_text())["datasources"]
    network = f"--network={fleet.name}_default"
    promtool = ["--entrypoint=promtool", IMAGES["PROMETHEUS_IMAGE"], "query", "instant"]
    said = podman("run", "--rm", network, *promtool, source["url"], 'up{job="slamon-afm"}')
    assert 'instance="afm-1"' in said
    [providers] = (OURS.parent / mounts[f"{etc}/dashboards"]).glob("*.yml")
    [provider] = yaml.safe_load(providers.read_text())["providers"]
    [board] = (OURS.parent / mounts[provider["options"]["path"]]).glob("*.json")
    [variable] = (v for v in json.loads(board.read_text())["templating"]["list"] if v["name"] == "datasource")
    assert (variable["type"], variable["query"], source["type"]) == ("datasource", "prometheus", "prometheus")


@pytest.mark.parametrize("agent", ["slamon/agent:stable", "slamon-test-original-agent"])
def test_the_snippet_of_the_original(agent: str, tmp_path: Path) -> None:
    file = tmp_path / "compose.yaml"
    file.write_text(ORIGINAL.format(agent=agent))
    with running(Project(file, "slamon-test-original")) as project:
        executes_a_task(project.afm)


def test_in_memory_an_alert_tells_of_a_task_that_no_agent_takes(tmp_path: Path) -> None:
    project = Project(in_a_hurry(tmp_path), "slamon-test-memory", "memory", "observability")
    with running(project, *MEMORY):
        executes_a_task(project.afm)
        assert get(f"{project.afm}/dashboard/")[0] == 200
        until("the AFM in Prometheus", lambda: project.scraped() == {"afm"})
        post_task(project.afm, "nobody_has_it", {})
        alert = until("the alert", lambda: project.alert("SlamonTasksWait"))
        assert alert["task_type"] == "nobody_has_it"
        for service in MEMORY:
            until(f"{service} is healthy", lambda service=service: project.is_healthy(service))


@pytest.mark.parametrize("tool", [Project, DockerProject])
def test_both_profiles_at_once_want_one_port(tool: type[Project]) -> None:
    project = tool(OURS, "slamon-test-clash", "memory", "postgresql", POSTGRES_PASSWORD=PASSWORD)
    try:
        project.compose("up", "--detach", "afm")
        done = project.try_compose("up", "--detach", "--no-deps", "proxy")
        assert done.returncode != 0
        port = project.ports["SLAMON_PORT"]
        assert re.search(rf"127\.0\.0\.1:{port}.*address already in use", done.stderr), done.stderr
    finally:
        project.try_compose("down", "--volumes", "--timeout", "0")


def test_without_a_password_postgresql_says_so_and_no_afm_gets_ready() -> None:
    with running(Project(OURS, "slamon-test-secret", "postgresql", POSTGRES_PASSWORD=""), "postgres", "afm-1") as project:
        said = "You must specify POSTGRES_PASSWORD to a non-empty value"
        until("what PostgreSQL says", lambda: said in project.logs("postgres"))
        until("what the AFM says", lambda: "the database is away" in project.logs("afm-1"))
        assert not project.is_healthy("postgres")
        assert not project.is_healthy("afm-1")


@pytest.mark.parametrize("profiles", [["memory"], ["postgresql"], ["memory", "observability"], ["postgresql", "observability"]])
def test_docker_compose_takes_our_file(profiles: list[str]) -> None:
    """Without an engine: it reads the file, checks it, and says what it would start."""
    chosen = [argument for profile in profiles for argument in ("--profile", profile)]
    command = ["docker-compose", "--file", str(OURS), *chosen, "config", "--format", "json"]
    unset = {name: value for name, value in os.environ.items() if not name.endswith("_IMAGE")}
    done = subprocess.run(command, env=unset, capture_output=True, check=False, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    services = json.loads(done.stdout)["services"]
    expected = set(MEMORY if "memory" in profiles else POSTGRESQL) - set(OBSERVABILITY)
    if "observability" in profiles:
        expected |= {*OBSERVABILITY, "grafana"}
    assert set(services) == expected
    for name, service in services.items():
        # A version, not what is newest.
        assert re.search(r":(stable|v?\d+\.\d+(\.\d+)?)$", service["image"]), name
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}
        assert service["restart"] == "unless-stopped"


def test_a_poll_and_a_stream_of_events_stay_open_for_a_minute(fleet: Fleet) -> None:
    took, status, tasks = fleet.watching.poll.result(timeout=90)
    assert (status, tasks) == (200, [])
    assert took >= 60
    # Of both AFMs, whichever the stream comes from.
    for task in [executes_a_task(fleet.afm), executes_a_task(fleet.afm)]:
        until("the task in the stream", lambda task=task: fleet.watching.has_seen(task))


def answered(fleet: Fleet, afm: str) -> int:
    """How many posts an AFM has answered, by the log of the proxy."""
    return len(re.findall(rf"afms/{afm} \S+ 200 .*POST /task ", fleet.logs("proxy")))


def test_no_post_fails_and_no_task_is_lost_while_an_afm_dies(fleet: Fleet) -> None:
    with Posting(fleet.afm) as posting:
        until("posts", posting.more(20))
        # As a crash: the process is gone, and the engine starts it again.
        state = fleet.inspect("afm-1")["State"]
        run("kill", "-KILL", str(state["Pid"]))
        until("posts after the crash", posting.more(50))
        until("the AFM that was started again", lambda: fleet.inspect("afm-1")["State"]["StartedAt"] != state["StartedAt"])
        before = answered(fleet, "afm-1")
        until("requests that the proxy gives it again", lambda: answered(fleet, "afm-1") > before + 5)
        podman("stop", "--time", "20", fleet.container("afm-2"))
        until("posts after the stop", posting.more(50))
        alert = until("the alert", lambda: fleet.alert("SlamonAfmGone"))
        assert alert["instance"] == "afm-2"
        podman("start", fleet.container("afm-2"))
        until("both AFMs in Prometheus", lambda: fleet.scraped() == {"afm-1", "afm-2"})
        until("the end of the alert", lambda: not fleet.alert("SlamonAfmGone"))
    assert posting.failed == []
    for task in posting.tasks:
        assert result_of(fleet.afm, task) == {"status": 200}


def test_tasks_outlive_a_restart_of_postgresql_and_of_everything(fleet: Fleet) -> None:
    waiting = post_task(fleet.afm, "nobody_has_it", {"ä": 1})
    done = executes_a_task(fleet.afm)
    podman("restart", "--time", "20", fleet.container("postgres"))
    executes_a_task(fleet.afm)
    fleet.compose("down", "--timeout", "20")
    fleet.compose("up", "--detach", "--pull=never", "--wait", *POSTGRESQL)
    executes_a_task(fleet.afm)
    assert json.loads(get(f"{fleet.afm}/task/{waiting}")[1])["task_data"] == {"ä": 1}
    assert result_of(fleet.afm, done) == {"status": 200}
