"""Two hosts that share one storage: each has a home of its own with copies of the sessions' files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from agent.domain.session import Profile, Session
from agent.memory.memory import merged
from agent.memory.session_file import SessionFolders
from agent.mirror.mirror import Mirror
from agent.mirror.objects import Objects
from agent.testing.s3 import WITHOUT, S3Server, interpreter


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


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    if not interpreter():
        pytest.skip(WITHOUT)
    with S3Server.start() as started:
        yield started
