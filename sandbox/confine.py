"""The walls that the init puts up around itself and its jobs.

With bubblewrap the view of the machine is already narrow: what is added is the system-call filter and a Landlock fence
between jobs. Without it Landlock is the wall, and new namespaces are taken when the kernel gives them to us.
"""

from __future__ import annotations

import contextlib
import os
import sys

from sandbox import kernel, landlock, seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MS_REC_PRIVATE, _MS_BIND = 0x44000, 0x1000
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


class Walls:
    """What is in force. `own_processes`: this is the init of a process namespace (and of a network) of its own."""

    def __init__(
        self,
        name: str,
        *,
        own_processes: bool,
        rules: int | None = None,
        allowed: tuple[tuple[str, int], ...] = (),
        own_user: bool = False,
    ) -> None:
        self.name = name
        self.own_processes = own_processes
        self.rules = rules
        self.allowed = allowed
        self.own_user = own_user
        # Whether jobs can send signals to nobody but their own processes.
        self.fenced = rules is not None and landlock.abi() >= landlock.WALL_ABI

    def enter(self, port: int = 0) -> None:
        """Called by each job after its fork: everything that is not already in force for the init itself.

        `port` is the proxy's, for a job that may use it.
        """
        if self.name == "landlock":
            kernel.drop_capabilities()
            if self.own_processes and not port:
                seccomp.install("none")
        rules = self.rules
        if port and self.name == "landlock":
            rules = landlock.wall(self.allowed)
            landlock.allow_port(rules, port)
        if rules is not None:
            landlock.restrict(rules)
            os.close(rules)
        if self.name != "bare":
            kernel.set_dumpable(allowed=True)

    @property
    def own_network(self) -> bool:
        """True when nothing but loopback can be reached, so that one more listener there opens nothing."""
        return self.own_processes and self.name != "bare"


def put_up(settings: dict[str, Any]) -> Walls:
    """Put up the walls that `mode` names; raise OSError when that is impossible."""
    mode = settings["mode"]
    if mode == "bwrap":
        return _inside_bubblewrap(settings.get("user"))
    if mode == "landlock":
        return _landlock(settings)
    kernel.adopt_orphans()
    return Walls("bare", own_processes=False)


def _inside_bubblewrap(user: int | None) -> Walls:
    if user is not None:
        _become(user)
    kernel.set_dumpable(allowed=False)
    rules = None
    with contextlib.suppress(OSError):
        rules = landlock.fence()
    if seccomp.supported():
        seccomp.install("own")
    return Walls("bwrap", own_processes=os.getpid() == 1, rules=rules, own_user=user is not None)


def _become(user: int) -> None:
    """Turn from root into a user, for good."""
    kernel.drop_bounding_set()
    os.setgroups([])
    os.setresgid(user, user, user)
    os.setresuid(user, user, user)
    kernel.drop_capabilities()
    kernel.die_with_parent()  # forgotten by the kernel with the change of user


def _landlock(settings: dict[str, Any]) -> Walls:
    if settings.get("user") is not None:
        _become(settings["user"])
        kernel.set_dumpable(allowed=True)  # else what is in /proc about us is root's, and no namespace can be set up
    own = settings["namespaces"] and _new_namespaces(settings["writable"])
    if not own:
        kernel.adopt_orphans()
    kernel.set_dumpable(allowed=False)
    allowed = [(path, landlock.READ) for path in settings["readable"]]
    allowed += [(path, landlock.WRITE) for path in settings["writable"]]
    allowed += [(path, landlock.DEVICE) for path in _DEVICES]
    if own:
        allowed.append(("/proc", landlock.READ))
    rules = landlock.wall(allowed)
    seccomp.install("tcp" if own else "still")
    return Walls("landlock", own_processes=own, rules=rules, allowed=tuple(allowed))


def _only_these_writable(writable: list[str]) -> None:
    """Make all else read-only: Landlock does not keep a job from changing modes, owners and times of files."""
    for path in writable:
        kernel.mount(path, path, "", _MS_BIND)
    kernel.set_read_only("/", on=True)
    for path in writable:
        kernel.set_read_only(path, on=False)


def _new_namespaces(writable: list[str]) -> bool:
    """Take namespaces of our own for processes, network and the rest; return whether there were any to be had.

    The caller goes on as the init of the new process namespace; the outer process stays behind to wait for it.
    """
    user, group = os.getuid(), os.getgid()
    spaces = kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS | kernel.CLONE_NEWNS
    try:
        kernel.unshare(kernel.CLONE_NEWUSER | spaces)
    except OSError:
        return False
    with contextlib.suppress(OSError):
        _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"1000 {user} 1")
    _write("/proc/self/gid_map", f"1000 {group} 1")
    _stay_behind()
    kernel.mount("none", "/", "", _MS_REC_PRIVATE)
    kernel.mount("proc", "/proc", "proc", 0)
    _only_these_writable(writable)
    with contextlib.suppress(OSError):  # without it there is no network at all
        kernel.loopback_up()
    kernel.drop_capabilities()
    return True


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:  # noqa: PTH123 - no pathlib here
        file.write(text)


def _stay_behind() -> None:
    """Fork; the child returns, the parent waits for it and ends as it did."""
    child = os.fork()
    if child == 0:
        kernel.die_with_parent()
        return
    os.closerange(3, 64)
    _, status = os.waitpid(child, 0)
    sys.stdout.flush()
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
