"""Which protection this machine gives, found by trying to break out of it, not by reading versions."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from dataclasses import replace

from loguru import logger

from sandbox import cgroups, landlock, layout, seatbelt, seccomp
from sandbox.api import Job, Limits, Policy, Rung, SandboxError
from sandbox.temporary import Temporary, clear_away

_A = Rung("A", "bubblewrap, with memory and processes bounded by a control group")
_A_MINUS = Rung(
    "A-",
    "bubblewrap; no writable memory control group, so memory is watched instead",
    "To have the kernel bound memory, start it as a systemd service with Delegate=yes (systemd-run --user --scope "
    "-p Delegate=yes ./dirigent serve), or give its container a writable /sys/fs/cgroup.",
)
_C = Rung(
    "C",
    "Landlock and a system-call filter, without bubblewrap; network off",
    "Install bubblewrap for the full sandbox: apt-get install bubblewrap",
)
_D = Rung(
    "D",
    "sandbox-exec of macOS; network off, memory not bounded, each job starts anew",
    "For the full sandbox run it on Linux, such as in a virtual machine with bubblewrap.",
)
_INSTALL = (
    "Install bubblewrap: apt-get install bubblewrap (Fedora: dnf install bubblewrap; Alpine: apk add bubblewrap)."
)
_USERNS = (
    "bubblewrap is installed but may not make user namespaces. Allow them: "
    "sysctl -w kernel.unprivileged_userns_clone=1 (Debian) or "
    "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 (Ubuntu); in a container start it with "
    "--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined."
)

# What a program inside tries. Each line that is printed is something that worked and must not.
_ESCAPE = """
import os, socket
def tries(what, action):
    try:
        action()
    except OSError:
        return
    print("escaped:", what)
tries("read a host file", lambda: open({secret!r}).read())
tries("write a host folder", lambda: open(os.path.join({folder!r}, "planted"), "w"))
tries("write a kernel setting", lambda: os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY))
tries("reach the host's loopback", lambda: socket.create_connection(("127.0.0.1", {port}), 1))
if {canary!r} in "".join(os.environ.values()):
    print("escaped: read a host variable")
open("works", "w").close()
print("ran")
"""

_found: dict[str | None, Rung] = {}


async def probe(*, anew: bool = False) -> Rung:
    """Return the rung in force, tried once per process (and again when bubblewrap appears, or with `anew`)."""
    key = layout.find_bubblewrap()
    if not _found:
        await asyncio.to_thread(clear_away)
    if anew:
        _found.pop(key, None)
    if key not in _found:
        _found[key] = await _try_all(key)
        logger.info("sandbox rung {}: {}", _found[key].name, _found[key].stance)
    return _found[key]


async def _try_all(bwrap: str | None) -> Rung:
    problems = []
    candidates = [_A if cgroups.hierarchy() else _A_MINUS] if bwrap else []
    if os.geteuid() == 0:
        candidates = [replace(rung, own_users=True) for rung in candidates] + candidates
    if seatbelt.available():
        candidates.append(_D)
    if landlock.abi() >= landlock.WALL_ABI and seccomp.supported():
        landlocked = replace(_C, remedy=_USERNS) if bwrap else _C
        landlocks = landlocked, replace(landlocked, own_spaces=False)
        as_users = [replace(rung, own_users=True) for rung in landlocks] if os.geteuid() == 0 else landlocks
        candidates += [rung for pair in zip(as_users, landlocks, strict=True) for rung in dict.fromkeys(pair)]
    for rung in candidates:
        problem = await _problem(rung)
        if not problem:
            return rung
        problems.append(f"{rung.name}: {problem}")
        logger.warning("sandbox rung {} does not hold here: {}", rung.name, problem)
    said = "; ".join(problems)
    return Rung("E", f"nothing safe is available{f' ({said})' if said else ''}", _USERNS if bwrap else _INSTALL)


async def _problem(rung: Rung) -> str:
    """Run the escape attempts on a rung; return what worked and must not, or empty."""
    from sandbox.boxes import box_of

    canary = secrets.token_hex(16)
    with Temporary("canary-") as host, socket.socket() as listener:
        (host / "secret").write_text(canary)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        code = _ESCAPE.format(
            secret=str(host / "secret"), folder=str(host), port=listener.getsockname()[1], canary=canary
        )
        workspace = host / "workspace"
        try:
            async with box_of("canary", workspace, Policy(), rung) as box:
                result = await box.run(Job("python", code, limits=Limits(wall_s=10)))
        except SandboxError as error:
            return error.message
        said = result.stdout.text.strip()
        if said == "ran" and (workspace / "works").exists():
            return ""
        return said.replace("\n", "; ") or result.stderr.text.strip()[-300:] or str(result.status)
