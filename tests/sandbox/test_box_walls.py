"""What a job cannot do, on every rung."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.api import Job, JobResult, Limits
from sandbox.boxes import Box

REPOSITORY = Path(__file__).resolve().parents[2]


async def attempt(box: Box, code: str) -> JobResult:
    return await box.run(Job("python", code, limits=Limits(wall_s=20)))


async def blocked(box: Box, code: str) -> bool:
    """True when the program raised OSError: it tried, and the walls held."""
    wrapped = f"import os, socket\ntry:\n    {code}\nexcept OSError as error:\n    print('held', error.errno)"
    result = await attempt(box, wrapped)
    assert result.ok, result.stderr.text
    return result.stdout.text.startswith("held")


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret.txt"
    path.write_text("bot-token")
    return path


async def test_a_host_file_cannot_be_read(any_box: Box, secret: Path):
    assert await blocked(any_box, f"open({str(secret)!r})")
    assert await blocked(any_box, "open('/etc/shadow')")
    assert await blocked(any_box, f"open({str(Path.home() / '.bashrc')!r})")


async def test_a_link_in_the_workspace_leads_nowhere(any_box: Box, folder: Path, secret: Path):
    (folder / "link").symlink_to(secret)
    assert await blocked(any_box, "open('link')")


async def test_the_products_own_code_is_not_there(any_box: Box):
    assert await blocked(any_box, f"os.listdir({str(REPOSITORY)!r})")
    assert await blocked(any_box, f"open({str(REPOSITORY / 'agent' / 'config.py')!r})")
    imported = await attempt(any_box, "import agent.config")
    assert imported.code == 1
    assert "Error" in imported.stderr.text


async def test_nothing_can_be_written_outside_the_workspace(any_box: Box, tmp_path: Path):
    for place in ("/usr/planted", "/etc/planted", "/planted", "/dev/planted", str(tmp_path / "planted")):
        assert await blocked(any_box, f"open({place!r}, 'w')"), place
    assert not (tmp_path / "planted").exists()


async def test_the_plugins_and_the_sandbox_are_read_only(any_box: Box):
    code = "import plugins.api, sandbox.inside as i; open(i.__file__, 'a')"
    assert await blocked(any_box, code)


async def test_the_kernels_settings_are_read_only(any_box: Box):
    """Where the agent is root the kernel would take the word of a process without any capability."""
    for setting in ("/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger"):
        assert await blocked(any_box, f"os.open({setting!r}, os.O_WRONLY)"), setting


async def test_temporary_files_work(any_box: Box):
    code = "import tempfile; f = tempfile.TemporaryFile(); f.write(b'x'); d = tempfile.mkdtemp(); print('made')"
    assert (await attempt(any_box, code)).stdout.text == "made\n"


async def test_the_hosts_loopback_cannot_be_reached(any_box: Box):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert await blocked(any_box, f"socket.create_connection(('127.0.0.1', {port}), 2)")


async def test_a_unix_socket_of_the_host_cannot_be_reached(any_box: Box, folder: Path):
    address = f"\0dirigent-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        assert await blocked(any_box, f"socket.socket(socket.AF_UNIX).connect({address!r})")


async def test_names_cannot_be_resolved(any_box: Box):
    assert await blocked(any_box, "socket.getaddrinfo('example.org', 80)")


async def test_packets_cannot_be_sent_out(any_box: Box):
    code = "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))"
    assert await blocked(any_box, code)


async def test_the_hosts_environment_is_unknown_inside(any_box: Box, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DIRIGENT_TELEGRAM_TOKEN", "canary-4711")
    code = (
        "import os, pathlib\nseen = str(dict(os.environ))\n"
        "for p in pathlib.Path('/proc').glob('[0-9]*/environ'):\n"
        "    try: seen += p.read_text(errors='replace')\n"
        "    except OSError: pass\n"
        "print('canary-4711' in seen)"
    )
    assert (await attempt(any_box, code)).stdout.text == "False\n"


async def test_other_programs_cannot_be_signalled(any_box: Box):
    victim = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert await blocked(any_box, f"os.kill({victim.pid}, 9)")
        assert victim.poll() is None
    finally:
        victim.kill()
        victim.communicate()


async def test_the_init_cannot_be_read_or_ended_by_a_job(any_box: Box):
    parent = "os.getppid()"
    assert await blocked(any_box, f"open(f'/proc/{{{parent}}}/mem', 'rb')")
    assert await blocked(any_box, f"os.readlink(f'/proc/{{{parent}}}/fd/0')")
    await attempt(any_box, f"import os\ntry: os.kill({parent}, 9)\nexcept OSError: pass")
    assert (await attempt(any_box, "print('alive')")).stdout.text == "alive\n"


async def test_one_job_cannot_read_anothers_secrets(any_box: Box):
    """Both run as the same user at the same time; a Landlock domain of its own fences each."""
    hold = Job("shell", "echo $$ > pid; read line < go", secrets={"KEY": "canary-4712"}, limits=Limits(wall_s=20))
    os.mkfifo(any_box._workspace.root / "go")
    holding = asyncio.create_task(any_box.run(hold))
    code = (
        "import os, time\n"
        "while not os.path.exists('pid') or not open('pid').read(): time.sleep(0.01)\n"
        "pid = open('pid').read().strip()\n"
        "held = 0\n"
        "for name in ('environ', 'mem', 'maps'):\n"
        "    try: open(f'/proc/{pid}/{name}', 'rb').read(10)\n"
        "    except OSError: held += 1\n"
        "try: os.kill(int(pid), 9)\n"
        "except OSError: held += 1\n"
        "print(held)\n"
        "open('go', 'w').write('on\\n')"
    )
    looked = await attempt(any_box, code)
    assert looked.stdout.text == "4\n"
    assert (await holding).ok


async def test_a_secret_is_in_the_environment_of_the_job_that_declared_it_only(any_box: Box):
    job = Job("shell", "echo $KEY", secrets={"KEY": "abc"})
    assert (await any_box.run(job)).stdout.text == "abc\n"
    assert (await any_box.run(Job("shell", "echo -$KEY-"))).stdout.text == "--\n"


async def test_privileges_and_namespaces_cannot_be_gained(any_box: Box):
    code = (
        "import ctypes, os\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "header, capabilities = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[9] * 6)\n"
        "libc.capget(header, capabilities)\n"
        "print(*capabilities, libc.prctl(39, 0, 0, 0, 0))\n"
        "print(libc.unshare(0x10000000), libc.mount(b'none', b'/tmp', b'tmpfs', 0, None), libc.ptrace(0, 0, 0, 0))\n"
        "print(libc.prlimit(os.getppid(), 7, None, (ctypes.c_long * 2)()), libc.syscall(425, 1, 0))"
    )
    result = await attempt(any_box, code)
    assert result.stdout.text.split("\n")[:3] == ["0 0 0 0 0 0 1", "-1 -1 -1", "-1 -1"], result.stderr.text


async def test_the_worker_loads_nothing_of_the_agent():
    code = "import sys, sandbox.worker, sandbox.tools; print([m for m in sys.modules if m.split('.')[0] == 'agent'])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    assert answer.stdout == "[]\n"
