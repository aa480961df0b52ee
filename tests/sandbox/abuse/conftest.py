"""The stage for the attacks: something to steal, somebody to hurt, doors to reach; and a run without any walls.

Each attack is a program that prints ESCAPED when it worked. Inside a box none may; without the walls every one must,
or it would prove nothing. Without the walls they run with bounds of their own, in namespaces that end with them, and no
attack asks for more than a little over the limit that it is to break.
"""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import signal
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sandbox.api import Limits

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
LIMITS: dict[str, Any] = {"wall_s": 20.0, "cpu_s": 10}

PRELUDE = """
import ctypes, errno, os, signal, socket, struct, subprocess, sys, threading, time
from sandbox.filters import table
libc = ctypes.CDLL(None, use_errno=True)
column = table.ARCHITECTURES[os.uname().machine][0]
def tries(action):
    "The attack worked unless this raises."
    try:
        action()
    except (OSError, ValueError, MemoryError, RuntimeError) as error:
        print("held:", error)
    else:
        print("ESCAPED", flush=True)
def call(name, *arguments):
    "The attack worked when the kernel took the call up at all, even if its arguments are nonsense."
    number = name if isinstance(name, int) else {**table.DENIED, **table.ABSENT}[name][column]
    ctypes.set_errno(0)
    result = libc.syscall(number, *arguments)
    code = ctypes.get_errno()
    refused = result < 0 and code in (errno.EPERM, errno.ENOSYS, errno.EACCES)
    print("held:" if refused else "ESCAPED", result, errno.errorcode.get(code), flush=True)
def escaped_if(condition):
    print("ESCAPED" if condition else "held", flush=True)
"""
# Without walls: what is mounted, named or left in shared memory ends with the process.
_OUTSIDE = """
import os
from sandbox import kernel
if os.geteuid() == 0:
    kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS)
    kernel.mount("none", "/", "", 0x44000)
"""


@dataclass(frozen=True)
class Attack:
    """One entry of a table. `ends` are the statuses that a box may end it with, `outside` why there is no control."""

    name: str
    category: str
    script: str
    ends: tuple[str, ...] = ("exit",)
    limits: dict[str, Any] = field(default_factory=dict)
    outside: str = ""
    net: bool = False

    @property
    def bounds(self) -> Limits:
        return Limits(**(LIMITS | self.limits))


def attacks() -> list[Attack]:
    found = []
    for path in sorted(HERE.glob("*.toml")):
        for entry in tomllib.loads(path.read_text())["attack"]:
            ends = tuple(entry.pop("ends", ("exit",)))
            found.append(Attack(category=path.stem, ends=ends, **entry))
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "attack" in metafunc.fixturenames:
        every = attacks()
        metafunc.parametrize("attack", every, ids=[f"{a.category}: {a.name}" for a in every])


@dataclass
class Stage:
    """What the attacks are after. `words` stand for it in the scripts."""

    folder: Path
    canary: str
    victim: subprocess.Popen[bytes]
    doors: list[socket.socket]
    words: dict[str, str]

    def program(self, attack: Attack) -> str:
        script = attack.script
        for word, value in self.words.items():
            script = script.replace(f"<{word}>", value)
        return PRELUDE + script

    def reached(self) -> list[str]:
        """Which doors somebody came through."""
        found = []
        for door in self.doors:
            with contextlib.suppress(BlockingIOError):
                if door.type == socket.SOCK_STREAM:
                    door.accept()[0].close()
                else:
                    door.recv(100)
                found.append(str(door.getsockname()))
        return found

    def unharmed(self) -> None:
        """Nothing was changed outside, nobody was hurt, no door was reached."""
        assert (self.folder / "secret.txt").read_text() == self.canary
        assert (self.folder / "secret.txt").stat().st_mode & 0o777 == 0o644
        assert sorted(path.name for path in self.folder.iterdir()) == ["door", "secret.txt"]
        assert self.victim.poll() is None
        assert b"T" not in Path(f"/proc/{self.victim.pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
        assert self.reached() == []
        for place in ("/tmp", "/dev/shm", "/var/tmp"):
            assert not list(Path(place).glob(f"planted-{self.canary}*"))


def _door(family: int, kind: int, address: Any) -> socket.socket:
    door = socket.socket(family, kind)
    door.bind(address)
    if kind == socket.SOCK_STREAM:
        door.listen()
    door.setblocking(False)
    return door


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    canary, folder = secrets.token_hex(12), tmp_path / "host"
    folder.mkdir()
    (folder / "secret.txt").write_text(canary)
    monkeypatch.setenv("CANARY", canary)
    sleeping = "import signal, sys; print(flush=True); signal.pause()"
    victim = subprocess.Popen([sys.executable, "-c", sleeping, canary], stdout=subprocess.PIPE)
    assert victim.stdout is not None
    victim.stdout.readline()
    with contextlib.ExitStack() as held:
        tcp, tcp6 = (
            held.enter_context(_door(family, socket.SOCK_STREAM, (host, 0)))
            for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
        )
        udp = held.enter_context(_door(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0)))
        abstract = held.enter_context(_door(socket.AF_UNIX, socket.SOCK_STREAM, f"\0{canary}"))
        place = held.enter_context(_door(socket.AF_UNIX, socket.SOCK_STREAM, str(folder / "door")))
        inherited = os.open(folder / "secret.txt", os.O_RDONLY)
        os.set_inheritable(inherited, True)
        pair = socket.socketpair()
        pair[0].set_inheritable(True)
        words = {
            "SECRET": str(folder / "secret.txt"),
            "FOLDER": str(folder),
            "CANARY": canary,
            "VICTIM": str(victim.pid),
            "REPOSITORY": str(REPOSITORY),
            "TCP": str(tcp.getsockname()[1]),
            "TCP6": str(tcp6.getsockname()[1]),
            "UDP": str(udp.getsockname()[1]),
            "ABSTRACT": canary,
        }
        yield Stage(folder, canary, victim, [tcp, tcp6, udp, abstract, place], words)
        os.close(inherited)
        for end in pair:
            end.close()
    victim.kill()
    victim.communicate()


def _bound() -> None:
    """The outer limits of a run without walls; the machine must not feel it."""
    for what, most in (
        (resource.RLIMIT_CPU, 20),
        (resource.RLIMIT_FSIZE, 256 << 20),
        (resource.RLIMIT_AS, 3 << 30),
        (resource.RLIMIT_NOFILE, 2048),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def processes_in(folder: Path) -> list[int]:
    """Return the processes whose working directory is the folder, as the host sees them."""
    inode = folder.stat().st_ino
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").stat().st_ino == inode:
                found.append(int(entry.name))
    return found


def _left_behind(started: int, folder: Path, enough: bool) -> list[int]:
    """Return what still runs there; one that has a new number every moment is not seen by every look."""
    found: set[int] = set()
    for _ in range(1 if enough else 50):
        found = {pid for pid in processes_in(folder) if pid != started}
        if found:
            break
    return sorted(found)


def outside(program: str, folder: Path) -> str:
    """Run a program without walls; return what it printed, and ESCAPED when it left a process behind."""
    command = [sys.executable, "-c", f"{_OUTSIDE}{program}"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    with (folder.parent / "said").open("wb") as said:
        running = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            preexec_fn=_bound,  # noqa: PLW1509 - one thread
            start_new_session=True,
            close_fds=False,
        )
        try:
            running.wait(100)
        finally:
            left = _left_behind(running.pid, folder, b"ESCAPED" in (folder.parent / "said").read_bytes())
            for pid in {running.pid, *left}:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            running.wait()
    text = (folder.parent / "said").read_text(errors="replace")
    return f"{text}\nESCAPED: left {left}" if left else text
