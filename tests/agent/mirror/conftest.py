"""Two hosts that share one storage: each has a home of its own with copies of the sessions' files."""

from __future__ import annotations

import os
import socket
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from agent.config.sessions import Sessions
from agent.domain.session import Profile, Session
from agent.memory.memory import merged
from agent.memory.session_file import SessionFolders
from agent.mirror.mirror import Mirror
from agent.mirror.objects import Objects, open_objects

SERVER = "DIRIGENT_TEST_S3_PYTHON"
READY = "Running on"


@dataclass
class Host:
    """A host of its own: `session` lies below its home, `mirror` knows what it has seen of the storage."""

    home: Path
    mirror: Mirror
    folders: SessionFolders
    session: Session

    @property
    def work(self) -> Path:
        return self.session.workspace

    def put(self, name: str, text: str) -> Path:
        path = self.work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def names(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.work)): path.read_text()
            for path in sorted(self.work.rglob("*"))
            if path.is_file()
        }


Hosts = Callable[..., Host]


def host_at(home: Path, objects: Objects, session_id: str = "test:1") -> Host:
    mirror = Mirror(objects, home / "mirror", {"MEMORY.md": merged})
    folders = SessionFolders(home / "sessions", Profile(), mirror)
    folder = folders.folder_of(session_id)
    session = Session(session_id, folder, Profile())
    session.workspace.mkdir(parents=True, exist_ok=True)
    return Host(home, mirror, folders, session)


@pytest.fixture
def objects() -> Objects:
    return Objects(MemoryStore(), "memory")


@pytest.fixture
def host(tmp_path: Path, objects: Objects) -> Hosts:
    """Return a function that makes a host by its name."""
    return lambda name, through=objects: host_at(tmp_path / name, through)


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start an S3 server of its own and return its address; `.ci/run` makes the environment that it lives in."""
    python = os.environ.get(SERVER)
    if not python:
        pytest.skip(f"{SERVER} names no interpreter with moto[s3,server]; `.ci/storage` makes one")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("s3") / "log"
    command = [python, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as server:
        try:
            wait_until(lambda: READY in log.read_text(), server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def wait_until(is_so: Callable[[], bool], server: subprocess.Popen[bytes]) -> None:
    from time import monotonic, sleep

    end = monotonic() + 60
    while not is_so():
        assert server.poll() is None, "the S3 server ended"
        assert monotonic() < end, "the S3 server did not start"
        sleep(0.05)  # another process says nothing when it is ready, but in its log


@pytest.fixture
def bucket(s3_server: str, request: pytest.FixtureRequest) -> Sessions:
    """Return the settings of a bucket of this test's own."""
    name = f"b-{abs(hash(request.node.nodeid))}"
    urllib.request.urlopen(urllib.request.Request(f"{s3_server}/{name}", method="PUT"), timeout=30).close()
    return Sessions(storage=f"s3://{name}/dirigent", endpoint=s3_server, access_key="key", secret_key="secret")


@pytest.fixture
def s3(bucket: Sessions) -> Objects:
    return open_objects(bucket)
