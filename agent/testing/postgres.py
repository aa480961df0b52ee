"""A PostgreSQL server of one's own, for tests: a fresh cluster on loopback that ends with the process that started it.

    with PostgresServer.start() as server:
        store = SqlStore(server.new_database())

It needs the server's programs (on Debian: `apt-get install postgresql`), not a running server.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

Words = list[str | Path]
SECONDS = 60.0
# Nothing has to survive the machine here. When whoever started it is gone, its pipe ends, and so does the server.
SMALL = ("max_connections=60", "shared_buffers=32MB", "log_min_messages=fatal")
QUICK = ("fsync=off", "full_page_writes=off")
UNTIL_LEFT = '"$@" & server=$!; cat > /dev/null; kill -INT $server; wait $server'


def binaries() -> Path | None:
    """Return the folder with the server's programs, the newest version's; None when there is none."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    root = Path("/usr/lib/postgresql")
    folders = [folder for folder in root.glob("*/bin") if (folder / "initdb").exists()]
    return max(folders, key=lambda folder: int(folder.parent.name), default=None)


@dataclass(slots=True)
class PostgresServer:
    """A running server. `port` is its port on 127.0.0.1; anybody there may do anything."""

    programs: Path
    port: int
    _numbers: Iterator[int] = field(default_factory=count)

    @classmethod
    @contextlib.contextmanager
    def start(cls, *, durable: bool = False) -> Iterator[PostgresServer]:
        """Start one and end it with the block. Raises RuntimeError when it can't be started.

        One that is `durable` waits for the disk, as real ones do.
        """
        programs = binaries()
        if programs is None:
            raise RuntimeError("there is no initdb on the PATH or in /usr/lib/postgresql/*/bin")
        with tempfile.TemporaryDirectory(prefix="dirigent-pg-", dir="/tmp") as folder:  # a socket's path is short
            who = _other_user(Path(folder))
            _initdb(programs, Path(folder), who)
            server = cls(programs, _free_port())
            settings = (f"unix_socket_directories={folder}", *SMALL, *(() if durable else QUICK))
            process = _begin(programs, Path(folder), server.port, settings, who)
            try:
                server.wait(process)
                yield server
            finally:
                process.communicate(timeout=SECONDS)

    def url(self, database: str = "postgres") -> str:
        """Return the address of a database."""
        return f"postgresql://dirigent@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Make an empty database and return its address."""
        name = f"journal_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str, database: str = "postgres") -> str:
        """Carry out a statement outside of any journal and return what it answers, a line a row."""
        words: Words = [
            self.programs / "psql",
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
            "-d",
            self.url(database),
            "-c",
            statement,
        ]
        return _said(words)

    def wait(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until it answers. Raises RuntimeError when it ends instead."""
        ends = time.monotonic() + SECONDS
        while process.poll() is None and time.monotonic() < ends:
            with contextlib.suppress(RuntimeError):
                self.execute("SELECT 1")
                return
            time.sleep(0.05)
        raise RuntimeError("PostgreSQL did not start")


def _other_user(folder: Path) -> dict[str, Any]:
    """Return how to run as somebody else: the server refuses to run as root."""
    if os.getuid() != 0:
        return {}
    import pwd

    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    who = known.get("postgres") or known["nobody"]
    os.chown(folder, who.pw_uid, who.pw_gid)
    return {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}


def _initdb(programs: Path, folder: Path, who: dict[str, Any]) -> None:
    # An order of words as people have it: what counts on the order of bytes shows itself here.
    icu = "--icu-locale" in _said([programs / "initdb", "--help"])
    order = ["--locale-provider=icu", "--icu-locale=en-US"] if icu else []
    words: Words = [programs / "initdb", "-D", folder / "data", "-U", "dirigent", "-A", "trust", "-E", "UTF8"]
    _said([*words, "--locale=C", "--no-sync", "--no-instructions", *order], **who)


def _begin(
    programs: Path, folder: Path, port: int, settings: tuple[str, ...], who: dict[str, Any]
) -> subprocess.Popen[bytes]:
    words: Words = [programs / "postgres", "-D", folder / "data", "-p", str(port), "-c", "listen_addresses=127.0.0.1"]
    for setting in settings:
        words += ["-c", setting]
    shell: Words = ["/bin/sh", "-c", UNTIL_LEFT, "sh", *words]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/"}
    return subprocess.Popen(shell, stdin=subprocess.PIPE, start_new_session=True, **quiet, **who)  # noqa: S603  # PostgreSQL's own programs


def _said(words: Words, **who: Any) -> str:
    done: subprocess.CompletedProcess[str]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd="/", **who)  # noqa: S603  # as above
    if done.returncode:
        raise RuntimeError(f"{words[0]} failed: {done.stderr.strip()}")
    return done.stdout


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
