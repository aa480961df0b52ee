"""The sidecar as it stands in its container: no network, no capabilities, a read-only root, nothing but the sessions.

There is no container engine here; bubblewrap makes the same room around the sidecar's process. What the engine is told
in `compose.yaml` is read from there.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import remote, wire
from sandbox.api import Connection, Job, JobStatus, Limits, Policy, SandboxError
from sandbox.boxes import Boxes
from sandbox.layout import interpreter, site_folders

REPOSITORY = Path(__file__).resolve().parents[2]
HERE = REPOSITORY / "sandbox" / "sidecar"
WAIT = 60.0


def compose() -> dict[str, Any]:
    from ruamel.yaml import YAML

    read: dict[str, Any] = YAML(typ="safe").load((HERE / "compose.yaml").read_text())
    return read


def test_the_container_has_no_network_no_rights_and_no_secrets():
    one = compose()["services"]["sandbox"]
    assert (one["network_mode"], one["read_only"], one["cap_drop"]) == ("none", True, ["ALL"])
    assert one["user"].split(":")[0] not in {"0", "root"}
    assert "no-new-privileges:true" in one["security_opt"]
    assert not {"environment", "env_file", "secrets", "configs", "ports", "privileged", "cap_add", "devices"} & set(one)
    assert all(not volume.startswith((".", "/", "~")) for volume in one["volumes"])
    assert {"pids_limit", "mem_limit"} <= set(one)


def test_both_containers_see_the_sessions_at_the_same_path_and_share_the_socket():
    services = compose()["services"]
    shared = [set(services[name]["volumes"]) for name in ("sandbox", "dirigent")]
    assert shared[0] < shared[1]
    start = (HERE / "Dockerfile").read_text()
    socket = services["dirigent"]["environment"]["DIRIGENT_SANDBOX__SIDECAR"]
    assert f'"--socket", "{socket}", "--root", "/data/sessions"' in start
    assert services["sandbox"]["user"] == services["dirigent"]["user"] in start


def test_the_image_holds_nothing_of_the_agent():
    copied = [line.split()[1] for line in (HERE / "Dockerfile").read_text().splitlines() if line.startswith("COPY")]
    assert copied == ["requirements.lock", "plugins", "sandbox"]


def container(shared: Path) -> list[str]:
    """Return the command line that starts the sidecar as in its container; `shared` holds sessions and socket."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        pytest.skip("bubblewrap stands in for the container engine (CI has it)")
    command = [bwrap, "--unshare-all", "--unshare-user", "--uid", "10001", "--gid", "10001", "--die-with-parent"]
    command += ["--cap-drop", "ALL", "--clearenv", "--setenv", "PATH", "/usr/local/bin:/usr/bin:/bin"]
    command += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]  # first: what is shown may lie below /tmp
    command += ["--ro-bind", "/usr", "/usr", "--ro-bind-try", "/etc/ssl", "/etc/ssl"]
    command += ["--ro-bind-try", "/etc/ld.so.cache", "/etc/ld.so.cache"]
    for name in ("bin", "sbin", "lib", "lib64"):
        if Path("/", name).is_symlink():
            command += ["--symlink", str(Path("/", name).readlink()), f"/{name}"]
        elif Path("/", name).exists():
            command += ["--ro-bind", f"/{name}", f"/{name}"]
    outside_usr = [Path(sys.base_prefix).resolve(), *site_folders()]
    for place in (*outside_usr, REPOSITORY / "sandbox", REPOSITORY / "plugins"):
        if not place.is_relative_to("/usr"):
            command += ["--ro-bind", str(place), str(place)]
    command += ["--bind", str(shared), str(shared), "--chdir", str(REPOSITORY), "--remount-ro", "/"]
    boot = f"import sys; sys.path[:0] = {[str(REPOSITORY), *map(str, site_folders())]!r}; from sandbox.sidecar import main; main()"
    return [*command, "--", str(interpreter()), "-I", "-S", "-B", "-c", boot]


@contextlib.contextmanager
def contained(shared: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [*container(shared), "--socket", str(shared / "s.sock"), "--root", str(shared / "sessions")]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared")
    (folder / "sessions").mkdir()
    return folder


async def there(path: Path, process: subprocess.Popen[bytes] | None = None) -> None:
    async with asyncio.timeout(WAIT):
        while not path.exists():
            assert process is None or process.poll() is None, "it has ended; its error output says why"
            await asyncio.sleep(0.01)


def inside(folder: Path) -> list[int]:
    """Return the processes that work in a folder, as the host sees them."""
    inode, found = folder.stat().st_ino, []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (entry / "cwd").stat().st_ino == inode:
                found.append(int(entry.name))
    return found


async def gone(folder: Path) -> None:
    async with asyncio.timeout(WAIT):
        while inside(folder):
            await asyncio.sleep(0.01)


async def test_two_sessions_work_there_apart_without_network_or_secrets(shared: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "canary-4717")
    told: list[Connection] = []
    one, two = shared / "sessions" / "one" / "work", shared / "sessions" / "two" / "work"
    policy = Policy(sidecar=shared / "s.sock", tool_hosts=("*:*",), private_hosts=("*:*",), on_connection=told.append)
    with contained(shared) as process:
        await there(shared / "s.sock", process)
        boxes = Boxes(policy)
        rung = await boxes.rung()
        assert (rung.name, rung.safe) == ("B", True)
        hold = Job("shell", "echo mine > mine; touch up; sleep 4718", secrets={"KEY": "canary-4718"})
        holding = asyncio.create_task(boxes.run("one", one, hold))
        await there(one / "up")
        look = (
            "import glob, os\nseen = str(dict(os.environ))\n"
            "for p in glob.glob('/proc/[0-9]*/environ') + glob.glob('/proc/[0-9]*/cmdline'):\n"
            "    if p.split('/')[2] == str(os.getpid()): continue\n"
            "    try: seen += open(p).read()\n    except OSError: pass\n"
            "print('canary' in seen, os.path.exists('mine'))\n"
            f"for p in ({str(one / 'mine')!r}, {str(shared / 's.sock')!r}, '/etc/shadow'):\n"
            "    try: print('read', open(p).read())\n    except OSError: print('held')\n"
            "import socket\nfor address in (('127.0.0.1', 80), ('1.1.1.1', 443)):\n"
            "    try: socket.create_connection(address, 2); print('out')\n    except OSError: print('held')\n"
        )
        seen = await boxes.run("two", two, Job("python", look))
        assert seen.stdout.text.split("\n")[:-1] == ["False False", *["held"] * 5], seen.stderr.text
        fetch = "import urllib.request as r\ntry: r.urlopen('http://example.org/', timeout=20)\nexcept OSError as e: print(e)"
        asked = await boxes.run("two", two, Job("python", fetch, net=("example.org",), run="r-1", step="s"))
        if asked.status is not JobStatus.REFUSED:  # where the inner box has a network of its own to refuse in
            assert [(c.host, c.allowed, c.run) for c in told] == [("example.org", False, "r-1")], asked.stderr.text
            assert "not known to the name servers" in told[0].reason
        assert not holding.done()
        holding.cancel()
        with pytest.raises(asyncio.CancelledError):
            await holding
        assert b"4718" not in b"".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in inside(one))
        ended = await boxes.run("one", one, Job("shell", "sleep 60", limits=Limits(wall_s=0.3)))
        assert ended.status is JobStatus.TIMEOUT
        await boxes.close()
        await gone(one)
        await gone(two)


@pytest.mark.crash
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_sidecar_that_is_stopped_or_killed_takes_all_its_jobs_with_it(
    shared: Path, number: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(remote, "RETURN_S", 0.0)
    work = shared / "sessions" / "w"
    with contained(shared) as process:
        await there(shared / "s.sock", process)
        boxes = Boxes(Policy(sidecar=shared / "s.sock"))
        running = asyncio.create_task(boxes.run("s", work, Job("shell", "(setsid sleep 4719 &); touch up; sleep 4719")))
        await there(work / "up")
        assert inside(work)
        process.send_signal(number)
        await asyncio.to_thread(process.wait)
        with pytest.raises(SandboxError, match="gone"):
            await running
        await gone(work)
        with pytest.raises(SandboxError, match="No sidecar answers"):
            await boxes.run("s", work, Job("shell", "true"))
        (shared / "s.sock").unlink(missing_ok=True)
        with contained(shared) as another:
            await there(shared / "s.sock", another)
            assert (await boxes.run("s", work, Job("shell", "echo back"))).stdout.text == "back\n"
            await boxes.close()


async def test_a_hostile_client_gets_no_further_than_its_own_connection(shared: Path, tmp_path: Path):
    sessions = shared / "sessions"
    (sessions / "good").mkdir()
    (sessions / "link").symlink_to("/etc")
    with contained(shared) as process:
        await there(shared / "s.sock", process)
        boxes = Boxes(Policy(sidecar=shared / "s.sock"))
        assert (await boxes.run("good", sessions / "good", Job("shell", "true"))).ok
        hostile = [await _hello(shared / "s.sock") for _ in range(20)]
        for reader, writer in hostile[:5]:
            writer.write(struct.pack(">I", (64 << 20) + 1))  # a message that would be too long
            assert await wire.read(reader) is None
        hostile[5][1].write(b"\x00\x00\x10\x00{")  # one that never ends
        hostile[6][1].write(b"".join(_asked(n, op="cancel") for n in range(2000)))
        hostile[7][1].write(
            _asked(1, op="run", session="good", workspace=str(sessions / "link"), job={"kind": "shell", "code": "id"})
        )
        hostile[8][1].write(_asked(1, op="run", session="good", workspace="/etc", job={"kind": "shell", "code": "id"}))
        hostile[9][1].write(
            _asked(1, op="run", session="good", workspace=str(sessions / "good" / ".." / ".."), job={"kind": "shell"})
        )
        for reader, _ in hostile[7:10]:
            answer = await wire.read(reader)
            assert answer is not None
            assert "not below" in answer["refusal"]
        many = {
            "session": "flood",
            "workspace": str(sessions / "flood"),
            "job": {"kind": "shell", "code": "sleep 4720", "limits": {"wall_s": 600}},
        }
        hostile[10][1].write(b"".join(_asked(n, op="run", **many) for n in range(20)))
        await there(sessions / "flood")
        result = await boxes.run("good", sessions / "good", Job("shell", "echo still"))
        assert result.stdout.text == "still\n"
        for _, writer in hostile:
            writer.transport.abort()
        await gone(sessions / "flood")
        assert (await boxes.run("good", sessions / "good", Job("shell", "echo well"))).stdout.text == "well\n"
        await boxes.close()
    assert not (tmp_path / "planted").exists()


async def _hello(path: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_unix_connection(path)
    assert (await wire.read(reader) or {}).get("hello") == wire.VERSION
    return reader, writer


def _asked(number: int, **fields: Any) -> bytes:
    return wire.message(id=number, **fields)
