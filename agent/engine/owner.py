"""Who holds a lease: a process, named so that another process of the same host can tell whether it still lives."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def own_name() -> str:
    """Return this process's name, `host/pid/start/numbers`; the start time tells a reused process id apart.

    `numbers` is the namespace that process ids belong to: containers may share a host's name, not its processes.
    """
    return f"{platform.node()}/{os.getpid()}/{_started(os.getpid())}/{_namespace()}"


def is_gone(owner: str) -> bool:
    """True when the owner was a process of this host that does not live any more; False when that can't be known.

    What stands behind the name, after another stroke, is left out.
    """
    host, pid, started, numbers = [*owner.split("/"), "", "", "", ""][:4]
    near = (host, numbers or _namespace()) == (platform.node(), _namespace())  # older names say no namespace
    return near and pid.isdigit() and _started(int(pid)) != started


def _namespace() -> str:
    """Return the number of the namespace that our process id belongs to, "" where there are none."""
    try:
        return str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Return when a process started, in clock ticks since boot (from /proc), else "alive", or "" for none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        return text.rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        pass
    if Path("/proc/self/stat").exists():
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "alive"
