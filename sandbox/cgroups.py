"""Control groups for jobs, in whichever version can be written here: a memory ceiling and a process ceiling per job.

The job enters by writing to a descriptor that the host opened, so nothing of the hierarchy is visible inside.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import re
from dataclasses import dataclass
from pathlib import Path

from sandbox.held import descendants

_ROOT = Path("/sys/fs/cgroup")
_MEMORY, _PIDS = "memory", "pids"
_ASIDE = "dirigent-self-"
_serial = itertools.count(1)
_left: set[Path] = set()


@dataclass(frozen=True, slots=True)
class _Hierarchy:
    """Where groups are made, by controller, and the files that bound, count and name them."""

    memory: Path | None
    pids: Path | None
    version: int


@dataclass(frozen=True, slots=True)
class JobGroup:
    """The groups of one job; no other of this process has their number."""

    memory: Path | None
    pids: Path | None
    version: int
    number: int

    def bound(self, memory_mb: int, processes: int) -> bool:
        """Set the ceilings; where that is not possible the groups are taken away."""
        try:
            if self.pids is not None:
                (self.pids / "pids.max").write_text(str(processes))
            if self.memory is not None:
                _bound_memory(self.memory, self.version, str(memory_mb << 20))
        except OSError:
            self.remove()
            return False
        return True

    def entrances(self) -> dict[str, int]:
        """Return open descriptors by controller; who writes `0` to one moves in. The caller closes them."""
        places = {"memory": self.memory}
        if self.pids is not None and self.pids != self.memory:
            places["pids"] = self.pids
        return {name: os.open(p / "cgroup.procs", os.O_WRONLY | os.O_CLOEXEC) for name, p in places.items() if p}

    def out_of_memory(self) -> bool:
        """Tell whether the kernel killed something here for memory."""
        if self.memory is None:
            return False
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        return _counter(self.memory / name, "oom_kill") > 0

    def out_of_processes(self) -> bool:
        """Tell whether a fork was refused here."""
        return self.pids is not None and _counter(self.pids / "pids.events", "max") > 0

    def peak(self) -> int:
        """Return the most bytes that were in use at once, 0 where the kernel does not tell."""
        if self.memory is None:
            return 0
        name = "memory.max_usage_in_bytes" if self.version == 1 else "memory.peak"
        try:
            return int((self.memory / name).read_text())
        except (OSError, ValueError):
            return 0

    def remove(self) -> None:
        """Take the groups away; where something is left inside they go when the next are made, or with `sweep`."""
        for place in {self.memory, self.pids} - {None}:
            assert place is not None
            _remove(place)


def _bound_memory(place: Path, version: int, most: str) -> None:
    if version == 1:
        (place / "memory.limit_in_bytes").write_text(most)
        with contextlib.suppress(OSError):  # no such file without swap accounting
            (place / "memory.memsw.limit_in_bytes").write_text(most)
        return
    (place / "memory.max").write_text(most)
    with contextlib.suppress(OSError):
        (place / "memory.swap.max").write_text("0")
    with contextlib.suppress(OSError):
        (place / "memory.oom.group").write_text("1")


def _counter(file: Path, name: str) -> int:
    try:
        found = re.search(rf"^{name} (\d+)", file.read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) if found else 0


def _own_folders() -> dict[str, str]:
    """Return controller → path of this process's own group; the key of version 2 is empty."""
    folders = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            folders[controller] = path
    return folders


def _made(parent: Path) -> Path | None:
    """Make this process's own group below `parent`; None when that is not allowed."""
    _clear_away_the_dead(parent)
    place = parent / f"dirigent-{os.getpid()}"
    try:
        place.mkdir(exist_ok=True)
    except OSError:
        return None
    return place


def _clear_away_the_dead(parent: Path) -> None:
    """Remove the groups that killed processes of ours left below `parent`."""
    for place in parent.glob("dirigent-*"):
        if not Path("/proc", place.name.rpartition("-")[2]).exists():
            for group in (*place.glob("*/"), place):
                with contextlib.suppress(OSError):
                    group.rmdir()


def _version_1(controller: str, own: dict[str, str]) -> Path | None:
    if controller not in own or not (_ROOT / controller / "cgroup.procs").exists():
        return None
    for parent in (_ROOT / controller / own[controller].lstrip("/"), _ROOT / controller):
        if parent.is_dir() and os.access(parent, os.W_OK) and (place := _made(parent)):
            return place
    return None


def _version_2(own: dict[str, str]) -> _Hierarchy | None:
    if "" not in own or not (_ROOT / "cgroup.controllers").exists():
        return None
    parent = _ROOT / own[""].lstrip("/")
    if parent.name.startswith(_ASIDE):  # started by somebody whom an earlier process of ours took along
        parent = parent.parent
    for candidate in dict.fromkeys((parent, _ROOT)):
        enabled = _enabled(candidate)
        if _MEMORY not in enabled and candidate == parent and _step_aside(parent):
            enabled = _enabled(candidate)
        if _MEMORY in enabled and (place := _made(candidate)) and _MEMORY in _enabled(place):
            return _Hierarchy(place, place if _PIDS in _enabled(place) else None, 2)
    return None


def _step_aside(parent: Path) -> bool:
    """Move what runs in our own group into one below it; return whether that was done.

    Version 2 gives controllers only to groups that are not beside processes. Where somebody else's processes are there,
    too, the group is not ours to arrange.
    """
    leaf = parent / f"{_ASIDE}{os.getpid()}"
    try:
        running = {int(pid) for pid in (parent / "cgroup.procs").read_text().split()}
        if _MEMORY not in (parent / "cgroup.controllers").read_text().split() or not running <= _own_tree():
            return False
        leaf.mkdir(exist_ok=True)
        for pid in running:
            with contextlib.suppress(ProcessLookupError):
                (leaf / "cgroup.procs").write_text(str(pid))
    except (OSError, ValueError):
        return False
    return True


def _own_tree() -> set[int]:
    """Return this process, those above it and those below it."""
    found, above = descendants(os.getpid()), os.getppid()
    while above > 0:
        found.add(above)
        stat = Path(f"/proc/{above}/stat").read_text(errors="replace")
        above = int(stat.rpartition(")")[2].split()[1])
    return found


def _enabled(place: Path) -> set[str]:
    """Return the controllers that groups below `place` have, after asking for those that we use."""
    control = place / "cgroup.subtree_control"
    for controller in (_MEMORY, _PIDS):
        with contextlib.suppress(OSError):
            control.write_text(f"+{controller}")
    try:
        return set(control.read_text().split())
    except OSError:
        return set()


@functools.cache
def hierarchy() -> _Hierarchy | None:
    """Return where groups can be made on this machine; None without a usable memory controller."""
    try:
        own = _own_folders()
    except OSError:
        return None
    memory = _version_1("memory", own)
    if memory is not None:
        return _Hierarchy(memory, _version_1("pids", own), 1)
    return _version_2(own)


def fresh() -> JobGroup | None:
    """Make the groups of one job, as yet without ceilings; None where that is not possible."""
    _remove_what_was_left()
    where = hierarchy()
    if where is None or where.memory is None:
        return None
    number = next(_serial)
    pids = where.pids / str(number) if where.pids else None
    group = JobGroup(where.memory / str(number), pids, where.version, number)
    try:
        for place in {group.memory, group.pids} - {None}:
            os.mkdir(place)  # type: ignore[arg-type]  # noqa: PTH102
    except OSError:
        group.remove()
        return None
    return group


def make(memory_mb: int, processes: int) -> JobGroup | None:
    """Make the groups of one job with its ceilings; None where that is not possible."""
    group = fresh()
    return group if group is not None and group.bound(memory_mb, processes) else None


def _remove_what_was_left() -> None:
    for place in tuple(_left):
        _remove(place)


def _remove(place: Path) -> None:
    """Take a group away, or note that a process in it is still on its way out."""
    _left.discard(place)
    try:
        place.rmdir()
    except FileNotFoundError:
        return
    except OSError:
        _left.add(place)


def sweep() -> None:
    """Remove this process's own groups unless jobs are in them; called when a pool of boxes closes."""
    _remove_what_was_left()
    where = hierarchy()
    mine: tuple[Path | None, ...] = (where.memory, where.pids) if where else ()
    for own in mine:
        if own is not None:
            with contextlib.suppress(OSError):
                own.rmdir()
                hierarchy.cache_clear()
