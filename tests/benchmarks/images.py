"""The images of `dirigent deploy`, built and started for real, without a container engine.

    python -m tests.benchmarks.images [--folder /var/tmp/images] [--keep]

It needs root, `buildah` and `debootstrap` (Debian's packages). A Debian with Python stands in for the base image; both
Dockerfiles are carried out step by step; then the sandbox's container and the agent's start with their volumes, the
health check of compose is asked until it is well, a request is carried out in the sandbox's container, and SIGTERM
ends both within the time that compose grants. Printed are times and sizes. What the base image has been made of is kept
in the folder with `--keep`. Exits with 1 when something of it fails.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

BASE = "docker.io/library/python:3.11-slim-bookworm"
SAME = "ln -sf /usr/bin/python3 /usr/local/bin/python; ln -sf /usr/bin/pip3 /usr/local/bin/pip; rm -f /usr/lib/python3*/EXTERNALLY-MANAGED"
GRACE = 45.0
SECONDS = 120.0
# Where pip looks for packages here: certificates, and what is configured for this machine.
FROM_HERE = ("/etc/ssl/certs", "/etc/pip.conf", *(os.environ.get("PIP_FIND_LINKS") or "").split())


class Buildah:
    """Builds and runs in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._words = ["buildah", "--root", str(folder / "store"), "--runroot", str(folder / "run")]

    def do(self, *words: str | Path, loud: bool = False) -> str:
        out = None if loud else subprocess.PIPE
        done = subprocess.run([*self._words, *map(str, words)], stdout=out, text=True, check=True)
        return (done.stdout or "").strip()

    def has(self, image: str) -> bool:
        return bool(self.do("images", "-q", "--filter", f"reference={image}"))

    def running(self, container: str, volumes: dict[Path, str], env: dict[str, str], *words: str) -> list[str]:
        """Return the words that start something in a container."""
        mounts = [word for here, there in volumes.items() for word in ("-v", f"{here}:{there}")]
        settings = [word for name, value in env.items() for word in ("--env", f"{name}={value}")]
        return [*self._words, "run", "--isolation", "chroot", *mounts, *settings, container, "--", *words]


def make_base(buildah: Buildah, folder: Path) -> None:
    """Make the stand-in for Python's own image."""
    root = folder / "base"
    if not root.exists():
        include = "--include=python3,python3-venv,python3-pip,ca-certificates"
        subprocess.run(["debootstrap", "--variant=minbase", include, "bookworm", root], check=True, stdout=sys.stderr)
    container = buildah.do("from", "scratch")
    buildah.do("add", container, root, "/")
    buildah.do("run", "--isolation", "chroot", container, "--", "sh", "-c", SAME)
    buildah.do("commit", "--rm", container, BASE)


def build(buildah: Buildah, context: Path) -> dict[str, float]:
    """Carry out both Dockerfiles; return the seconds of each."""
    mounts = [word for path in FROM_HERE if Path(path).exists() for word in ("-v", f"{path}:{path}:ro")]
    took = {}
    for name, file in (("dirigent", "Dockerfile"), ("dirigent-sandbox", "sandbox/sidecar/Dockerfile")):
        began = time.monotonic()
        where = ("--isolation", "chroot", "--network", "host", "--format", "docker", "--pull-never", "--layers")
        buildah.do("bud", *where, *mounts, "-t", name, "-f", context / file, context)
        took[name] = time.monotonic() - began
    return took


@contextlib.contextmanager
def started(words: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(words, stdout=out, stderr=out, start_new_session=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def until(happens, what: str, *processes: subprocess.Popen[bytes]) -> float:
    """Wait until something is so; return the seconds. Raises RuntimeError when it never is."""
    began = time.monotonic()
    while not happens():
        if any(process.poll() is not None for process in processes) or time.monotonic() - began > SECONDS:
            raise RuntimeError(f"{what}: never")
        time.sleep(0.2)
    return time.monotonic() - began


def ended(process: subprocess.Popen[bytes]) -> float:
    """Tell it to stop, as the engine does; return the seconds that it took."""
    began = time.monotonic()
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(GRACE)
    return time.monotonic() - began


def health_check(compose: Path) -> list[str]:
    """Return the words with which compose asks for the agent's health."""
    from ruamel.yaml import YAML

    test: list[str] = YAML(typ="safe").load(compose.read_text("utf-8"))["services"]["dirigent"]["healthcheck"]["test"]
    return test[1:]


def story(buildah: Buildah, folder: Path) -> None:
    """Start both containers with their volumes, ask for health, have a request carried out, and stop them."""
    places = {name: folder / "volumes" / name for name in ("home", "sessions", "socket")}
    for place in places.values():
        place.mkdir(parents=True)
        shutil.chown(place, 10001, 10001)
    shared = {places["sessions"]: "/data/sessions", places["socket"]: "/run/dirigent"}
    volumes = {places["home"]: "/data", **shared}
    agent, sandbox = (
        buildah.do("from", "--pull-never", f"localhost/{name}") for name in ("dirigent", "dirigent-sandbox")
    )
    about = json.loads(buildah.do("inspect", "--type", "image", "localhost/dirigent"))["Docker"]["config"]
    assert (about["User"], about["Entrypoint"], about["Cmd"]) == ("10001:10001", ["dirigent"], ["serve"])
    env = {"DIRIGENT_SANDBOX__SIDECAR": "/run/dirigent/sandbox.sock", "DIRIGENT_MODEL": "offline"}
    env |= {"DIRIGENT_WEB__HOST": "0.0.0.0", "DIRIGENT_WEB__PORT": "8385"}
    inside = json.loads(buildah.do("inspect", "--type", "image", "localhost/dirigent-sandbox"))["Docker"]["config"]
    sidecar = buildah.running(sandbox, shared, {}, *inside["Entrypoint"], *inside["Cmd"])
    serve = buildah.running(agent, volumes, env, *about["Entrypoint"], *about["Cmd"])
    healthy = buildah.running(agent, volumes, env, *health_check(folder / "there" / "compose.yaml"))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with started(sidecar, folder / "sandbox.log") as first:
        print(
            f"the sandbox listens after {until((places['socket'] / 'sandbox.sock').exists, 'the socket', first):.1f} s"
        )
        with started(serve, folder / "dirigent.log") as second:
            well = until(
                lambda: subprocess.run(healthy, check=False, **quiet).returncode == 0, "/health", first, second
            )
            print(f"the agent is well after {well:.1f} s")
            (places["home"] / "sales.csv").write_text("date,revenue\n2025-01-03,100\n2025-02-03,200\n2025-03-03,250\n")
            said = subprocess.run(
                buildah.running(
                    agent,
                    volumes,
                    env,
                    "dirigent",
                    "chat",
                    "chart the revenue by month from sales.csv and tell me the best month",
                ),
                capture_output=True,
                text=True,
                check=False,
            )
            assert "March 2025" in said.stdout, said.stdout + said.stderr
            print(f"a request was carried out in the sandbox's container: {said.stdout.strip().splitlines()[-1]}")
            print(f"the agent ended {ended(second):.1f} s after SIGTERM")
        print(f"the sandbox ended {ended(first):.1f} s after SIGTERM")


def main() -> int:
    """Build, start, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where the images are kept (default: a temporary one)")
    parser.add_argument("--keep", action="store_true", help="leave the folder as it is at the end")
    options = parser.parse_args()
    missing = [name for name in ("buildah", "debootstrap") if shutil.which(name) is None]
    if os.getuid() != 0 or missing:
        print(f"It needs root, and {', '.join(missing) or 'nothing else'}.", file=sys.stderr)
        return 2
    folder = options.folder or Path(tempfile.mkdtemp(prefix="dirigent-images-", dir="/var/tmp"))
    shutil.rmtree(folder / "volumes", ignore_errors=True)
    buildah = Buildah(folder)
    try:
        if not buildah.has(BASE):
            make_base(buildah, folder)
        deploy = [sys.executable, "-m", "agent", "deploy", "--no-input", str(folder / "there")]
        subprocess.run(deploy, check=True, stdout=subprocess.DEVNULL)
        for name, seconds in build(buildah, folder / "there" / "image").items():
            size = buildah.do("images", "--format", "{{.Size}}", f"localhost/{name}")
            print(f"{name}: built in {seconds:.0f} s, {size}")
        story(buildah, folder)
    except (RuntimeError, AssertionError, subprocess.SubprocessError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    finally:
        if not options.keep:
            buildah.do("rm", "--all")
            buildah.do("rmi", "--all", "--force")
            shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
