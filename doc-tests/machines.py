"""Where pages are executed: a Debian machine in a container, or this machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
import uuid
from pathlib import Path

from pages import Page
from shell import Shell

IMAGE = "slamon-test-machine"
HOME = "/home/user"
COPY = f"{HOME}/slamon-afm"
SEEN_AS = "/doc-tests"
NAMES = ["afm", "slamon-afm", "afm.example.org", "example.org", "shop.example.org", "mail.example.org"]
HERE = Path(__file__).parent
# cargo knows what it has built of other packages by where their sources are: they are in the same place in machines.
CARGO_HOME = os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))


class Unfit(Exception):
    """A machine could not be made; what to do about it."""


def run(*command: str, limit: float = 120) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit)
    if done.returncode != 0:
        raise Unfit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def target_triple() -> str:
    return next(line.split()[1] for line in run("rustc", "-vV").splitlines() if line.startswith("host:"))


class WorkingCopy:
    """What a machine has in ~/slamon-afm: a copy of the files of this working copy, and what was built of them.

    Machines see both through layers of their own, so that none of them changes anything here.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self.root = root
        self.folder = folder
        self.triple = target_triple()
        compiled = root / os.environ.get("CARGO_TARGET_DIR", "target")
        # What runs while cargo builds is in `release`, what it builds in the folder of the target.
        self.built = {part: root / "target" / part for part in ["static", "packages"]}
        self.built |= {part: compiled / part for part in ["release", self.triple]}
        for folder_of_part in self.built.values():
            if not folder_of_part.exists():
                raise Unfit(f"{folder_of_part} is missing: scripts/build-static and scripts/build-packages make it")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        listed = run("git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        for name in filter(None, listed.split("\0")):
            source = root / name
            if source.is_file() and not source.is_symlink():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                # cargo looks at times: they stay.
                shutil.copy2(source, folder / name)
        (folder / "target").mkdir()
        run("chown", "-R", "1000:1000", str(folder))

    @property
    def volumes(self) -> list[str]:
        return [f"{self.folder}:{COPY}:O"] + [f"{built}:{COPY}/target/{part}:O" for part, built in self.built.items()]


# The user may build: the folders are the user's, and what is locked. Programs are found where cargo builds them without a named target.
# Files that cargo knows by where they were when it built are there, too.
GIVE_TO_USER = """
mkdir -p $(dirname {root}) && ln -sfT {copy} {root}
chown user: {cargo} && chmod a+x $(dirname {cargo})
cd {copy}/target
find . \\( -type d -o -name .cargo-lock -o -path '*release/*.d' -not -path '*/deps/*' \\) -exec chown user: {{}} +
for program in slamon-afm slamon-agent slamon-bench; do ln -sf ../{triple}/release/$program release/$program; done
"""


class Machine:
    """A Debian machine that systemd runs, with the working copy."""

    def __init__(self, page: Page, copy: WorkingCopy) -> None:
        self.page = page
        self.copy = copy
        self.name = f"slamon-doc-{uuid.uuid4().hex[:12]}"
        self.folder = Path(tempfile.mkdtemp(prefix="slamon-doc-"))
        self.folder.chmod(0o777)
        self.shell: Shell | None = None

    def __enter__(self) -> Shell:
        try:
            self.start()
            for part in self.page.has:
                getattr(self, f"add_{part}")()
            self.shell = Shell(self.command(), self.folder, SEEN_AS)
            if "afm" in self.page.has:
                self.start_afm(self.shell)
            return self.shell
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        self.remove()
        if self.shell:
            self.shell.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove(self) -> None:
        subprocess.run(["podman", "rm", "--force", "--volumes", "--time", "0", self.name], capture_output=True)

    def start(self) -> None:
        volumes = [
            f"{self.folder}:{SEEN_AS}",
            *self.copy.volumes,
            f"{run('rustc', '--print', 'sysroot')}:/usr/local/rust:ro",
            f"{CARGO_HOME}/registry:{CARGO_HOME}/registry:O",
        ]
        options = [f"--volume={volume}" for volume in volumes] + [f"--add-host={name}:127.0.0.1" for name in NAMES]
        # What `--rm` starts need not wait for the disk: it is gone with the container.
        started = ["--detach", "--rm", "--name", self.name, "--systemd=always", "--privileged", "--network=none"]
        run("podman", "run", *started, *options, IMAGE)
        end = time.monotonic() + 60
        while (state := self.state()) not in ("running", "degraded"):
            if time.monotonic() > end:
                raise Unfit(f"systemd has not started within 60 s: {state}")
            time.sleep(0.05)
        self.execute("sh", "-ec", GIVE_TO_USER.format(root=self.copy.root, copy=COPY, cargo=CARGO_HOME, triple=self.copy.triple))

    def state(self) -> str:
        asked = subprocess.run(["podman", "exec", self.name, "systemctl", "is-system-running"], capture_output=True, text=True)
        return asked.stdout.strip()

    def execute(self, *command: str) -> str:
        return run("podman", "exec", self.name, *command)

    def command(self) -> list[str]:
        """What begins a shell of the user, in the working copy."""
        environment = {
            "HOME": HOME,
            "USER": "user",
            "LANG": "C.UTF-8",
            "PATH": f"{HOME}/.cargo/bin:/usr/local/rust/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
            # What was built is found by cargo where it was built with the same settings.
            "CARGO_HOME": CARGO_HOME,
            "CARGO_INSTALL_ROOT": f"{HOME}/.cargo",
            "CARGO_BUILD_TARGET": self.copy.triple,
            "RUSTFLAGS": "-C target-feature=+crt-static",
            "CARGO_NET_OFFLINE": "true",
            **{name: value for name, value in os.environ.items() if name.startswith("CARGO_PROFILE_RELEASE_")},
        }
        if "client" in self.page.has:
            environment["PATH"] = "/srv/client/bin:" + environment["PATH"]
            environment["PYTHONPATH"] = f"{COPY}/clients/python/src"
        settings = [f"--env={name}={value}" for name, value in environment.items()]
        return ["podman", "exec", "--interactive", "--user=user", f"--workdir={COPY}", *settings, self.name]

    def add_programs(self) -> None:
        self.execute("sh", "-c", f"install {COPY}/target/static/slamon-* /usr/local/bin/")

    def add_afm(self) -> None:
        self.add_programs()

    def add_client(self) -> None:
        """What it needs is in the image, and the package in the working copy."""

    def add_package(self) -> None:
        packages = sorted(self.copy.built["packages"].glob("slamon-afm_*-1_*.deb"), key=lambda file: file.stat().st_mtime)
        if not packages:
            raise Unfit("there is no Debian package in target/packages: scripts/build-packages makes it")
        self.execute("dpkg", "--install", f"{COPY}/target/packages/{packages[-1].name}")
        # The unit is there once the AFM is (Type=notify).
        self.execute("systemctl", "start", "slamon-afm")

    def start_afm(self, shell: Shell) -> None:
        begun = shell.begin("slamon-afm run")
        end = time.monotonic() + 30
        while "listening" not in begun.output:
            if time.monotonic() > end or begun.exit.exists():
                raise Unfit(f"slamon-afm run does not listen:\n{begun.output}")
            time.sleep(0.02)


class Host:
    """This machine, with a network of its own, a copy of the working copy, and the programs of `shims` in place of docker and kubectl."""

    def __init__(self, page: Page, copy: WorkingCopy) -> None:
        self.page = page
        self.copy = copy
        self.id = f"slamon-doc-{uuid.uuid4().hex[:12]}"
        self.folder = Path(tempfile.mkdtemp(prefix="slamon-doc-"))
        self.shell: Shell | None = None

    def __enter__(self) -> Shell:
        work = self.folder / "slamon-afm"
        run("cp", "-a", str(self.copy.folder), str(work))
        (work / "target/static").symlink_to(self.copy.built["static"])
        environment = {
            **os.environ,
            "PATH": f"{HERE / 'shims'}:{os.environ['PATH']}",
            "DOC_TESTS_ID": self.id,
            "DOC_TESTS_ROOT": str(self.copy.root),
        }
        start = ["unshare", "--net", "sh", "-c", 'cd "$0" && ip link set lo up && exec "$@"', str(work)]
        self.shell = Shell(start, self.folder, str(self.folder), environment)
        return self.shell

    def __exit__(self, *_: object) -> None:
        self.remove()
        for kind, listing in [("pod", ["pod", "ps"]), ("network", ["network", "ls"]), ("volume", ["volume", "ls"])]:
            self.remove_all(kind, *listing, "--filter", f"name={self.id}")
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove(self) -> None:
        """Removes its containers: what waits for them ends then."""
        self.remove_all("container", "ps", "--all", "--filter", f"label=slamon-doc={self.id}")
        self.remove_all("container", "ps", "--all", "--filter", f"name={self.id}")
        if self.shell:
            self.shell.close()

    @staticmethod
    def remove_all(kind: str, *listing: str) -> None:
        found = subprocess.run(["podman", *listing, "--quiet"], capture_output=True, text=True)
        if names := found.stdout.split():
            subprocess.run(["podman", kind, "rm", "--force", *names], capture_output=True)
