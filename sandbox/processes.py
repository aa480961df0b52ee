"""Process trees as /proc shows them."""

from __future__ import annotations

import contextlib
import os
import signal


def _parents() -> dict[int, int]:
    """Return pid → parent's pid of every process that can be seen."""
    found = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - a fraction of the cost, and this runs on every kill
        if entry.isdecimal():
            with contextlib.suppress(OSError, ValueError, IndexError):
                found[int(entry)] = int(_read(f"/proc/{entry}/stat").rpartition(")")[2].split()[1])
    return found


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123 - no pathlib here
        return file.read()


def _signal(processes: set[int], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process, number)


class Tree:
    """The descendants of one process, and the ways to count, measure and kill them."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._children = f"/proc/self/task/{root}/children"

    def children(self) -> set[int]:
        """Return the root's own children; the root is the calling process."""
        try:
            return {int(pid) for pid in _read(self._children).split()}
        except OSError:  # a kernel without CONFIG_PROC_CHILDREN
            return {pid for pid, parent in _parents().items() if parent == self._root}

    @staticmethod
    def below(pid: int) -> set[int]:
        """Return all descendants of `pid` at this moment."""
        parents = _parents()
        found: set[int] = set()
        fresh = {pid}
        while fresh:
            fresh = {child for child, parent in parents.items() if parent in fresh} - found
            found |= fresh
        return found

    def kill_tree(self, pid: int) -> None:
        """Kill `pid` and its descendants. All are stopped before the first is killed, again until none new appears.

        Each round catches what forked meanwhile; and no shell goes on to its next command because this one has ended.
        """
        known: set[int] = set()
        fresh = {pid}
        for _ in range(50):
            _signal(fresh, signal.SIGSTOP)
            known |= fresh
            fresh = self.below(pid) - known
            if not fresh:
                break
        _signal(known, signal.SIGKILL)

    def measure(self, pid: int, *, memory: bool) -> tuple[int, int]:
        """Return how many processes the tree of `pid` has, and their private and shared-memory bytes in sum."""
        tree = self.below(pid) | {pid}
        return len(tree), sum(_resident(process) for process in tree) if memory else 0


def _resident(pid: int) -> int:
    """Return RssAnon + RssShmem in bytes: pages of files can be dropped and do not count."""
    total = 0
    with contextlib.suppress(OSError, ValueError):
        for line in _read(f"/proc/{pid}/status").splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                total += int(line.split()[1]) * 1024
    return total
