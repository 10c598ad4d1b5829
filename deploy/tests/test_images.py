"""The images, run as their users run them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from conftest import AFM, AGENT, ROOT, Containers, get, is_healthy, is_ready, logs, podman, post_task, result_of, until

READ_ONLY = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"]
PUBLISHED = "--publish=127.0.0.1::8080"


@pytest.mark.parametrize(("image", "program"), [(AFM, "slamon-afm"), (AGENT, "slamon-agent")])
def test_an_image_is_small_not_root_labelled_and_without_a_shell(image: str, program: str) -> None:
    about = json.loads(podman("image", "inspect", image))[0]
    # Its program, and the authorities for TLS.
    assert about["Size"] < (ROOT / "target/static" / program).stat().st_size + (1 << 20)
    assert about["User"] == "10001:10001"
    labels = about["Labels"]
    for name in ["title", "description", "licenses", "version", "revision"]:
        assert labels[f"org.opencontainers.image.{name}"] not in ("", "unknown"), name
    assert about["Healthcheck"]["Test"][0] == "CMD"
    assert not about["Config"].get("Entrypoint")
    for shell in ["sh", "/bin/sh"]:
        done = subprocess.run(["podman", "run", "--rm", image, shell, "-c", "echo there is one"], capture_output=True, text=True)
        # 127: the container was made, and there is no such program in it.
        assert (done.returncode, done.stdout) == (127, ""), done.stderr


def test_the_afm_listens_on_all_interfaces_and_ends_with_0_at_sigterm(containers: Containers) -> None:
    afm = containers.start(*READ_ONLY, PUBLISHED, AFM)
    url = containers.url(afm)
    until("an AFM that is ready", lambda: is_ready(url))
    until("a healthy container", lambda: is_healthy(afm))
    assert json.loads(podman("inspect", afm))[0]["Path"] == "slamon-afm"
    podman("stop", "--time", "20", afm)
    ended = json.loads(podman("inspect", afm))[0]["State"]
    assert (ended["ExitCode"], ended["OOMKilled"]) == (0, False)
    assert "in memory" in logs(afm)


def test_tasks_in_a_file_outlive_the_container(containers: Containers) -> None:
    volume = ["--volume=slamon-test-tasks:/var/lib/slamon", "--env=AFM_DB_URI=sqlite:////var/lib/slamon/afm.db"]
    try:
        first = containers.start(*READ_ONLY, *volume, PUBLISHED, AFM)
        until("an AFM that is ready", lambda: is_ready(containers.url(first)))
        task = post_task(containers.url(first), "nobody_has_it", {"ä": 1})
        podman("stop", first)
        second = containers.start(*READ_ONLY, *volume, PUBLISHED, AFM)
        until("an AFM that is ready", lambda: is_ready(containers.url(second)))
        assert json.loads(get(f"{containers.url(second)}/task/{task}")[1])["task_data"] == {"ä": 1}
    finally:
        containers.remove()
        podman("volume", "rm", "slamon-test-tasks", check=False)


def test_an_image_with_a_configuration_and_another_command(containers: Containers, tmp_path: Path) -> None:
    (tmp_path / "afm.cfg").write_text("AGENT_RETURN_TIME = 7\nLOG_FORMAT = 'json'\n")
    (tmp_path / "Dockerfile").write_text(
        f"FROM {AFM}\nCOPY afm.cfg /etc/slamon/afm.cfg\n"
        'CMD ["slamon-afm", "--config", "/etc/slamon/afm.cfg", "run", "0.0.0.0", "9090"]\n'
    )
    podman("build", "--pull=never", "--quiet", "--tag=slamon-test-extended", str(tmp_path))
    afm = containers.start(*READ_ONLY, "--publish=127.0.0.1::9090", "slamon-test-extended")
    url = containers.url(afm, 9090)
    until("an AFM that is ready", lambda: is_ready(url))
    lines = [json.loads(line) for line in logs(afm).splitlines()]
    assert any("/etc/slamon/afm.cfg" in json.dumps(line) for line in lines)
    containers.remove()
    podman("rmi", "slamon-test-extended")


def test_an_afm_whose_database_is_away_is_not_healthy(containers: Containers) -> None:
    afm = containers.start(*READ_ONLY, "--env=AFM_DB_URI=postgresql://nobody@127.0.0.1:1/nowhere", AFM)
    until("what the AFM says", lambda: "the database is away" in logs(afm))
    assert not is_healthy(afm)
    assert podman("inspect", "--format={{.State.Running}}", afm) == "true"


def test_the_agent_takes_the_environment_of_the_original(containers: Containers) -> None:
    afm = containers.start(*READ_ONLY, PUBLISHED, AFM)
    url = containers.url(afm)
    until("an AFM that is ready", lambda: is_ready(url))
    address = json.loads(podman("inspect", afm))[0]["NetworkSettings"]["IPAddress"]
    environment = [f"--env=AFM=http://{address}:8080", "--env=HANDLERS=slamon_agent.handlers", "--env=EXTRA_FLAGS=-v -v"]
    agent = containers.start(*READ_ONLY, *environment, AGENT)
    task = post_task(url, "url_http_status", {"url": f"http://{address}:8080/status"})
    assert result_of(url, task) == {"status": 200}
    until("a healthy container", lambda: is_healthy(agent))
    podman("stop", "--time", "40", agent)
    assert json.loads(podman("inspect", agent))[0]["State"]["ExitCode"] == 0
