"""What the forked child of the init does: limits, descriptors, then the job itself.

The order (JSON) comes in the memory file `request`: `kind`, `code`, `tool`, `env`, `secrets`, `limits`, `workdir`,
`path` (the import path of a job). The child never returns to the init: `run` gives the exit code to leave with.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import json
import os
import resource
import signal
import sys
import threading

from sandbox import frames, kernel

TYPE_CHECKING = False
if TYPE_CHECKING:
    import types
    from typing import Any

    from sandbox.confine import Walls

SOURCE = "<program>"
NICE = 5
OTHER_BOX = 128
SLACK = 16  # the init and its other jobs count too; its watch strikes at the exact number
_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})


class Events:
    """The job's way to tell the host something: progress, the result, a failure."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def send(self, **record: Any) -> None:
        """Write one record; raise frames.BadFrame when it is too large."""
        data = memoryview(frames.framed(record))
        with self._lock:
            while data:
                data = data[os.write(self._descriptor, data) :]


def stand_alone() -> None:
    """Leave the init's session, end with it, and keep what will be forked from here together."""
    os.setsid()
    kernel.die_with_parent()
    kernel.adopt_orphans()  # daemons stay below this job, so that they end with it and not with another


def run(descriptors: dict[str, int], walls: Walls) -> int:
    """Become the job that `request` describes and return its exit code."""
    join_cgroups(descriptors)
    order = _read_order(descriptors["request"])
    events = Events(_settle(descriptors))
    if order["kind"] != "shell":  # which brings its own
        _open_streams()
    _limit(order["limits"], walls)
    os.nice(NICE)  # the init must win every race with what it is to end
    walls.enter(order.get("port", 0))
    return perform(order, events)


def perform(order: dict[str, Any], events: Events) -> int:
    """Do what the order says, within the walls that are up by now; return the exit code."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL if order["kind"] == "shell" else signal.SIG_IGN)
    os.environ.update(order["env"])
    os.chdir(order["workdir"])
    if order["kind"] == "shell":
        _shell(order)
    _refresh_randomness()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = _python(order, events) if order["kind"] == "python" else _tool(order, events)
    if imported := [name for name in order.get("large", ()) if name in sys.modules]:
        with contextlib.suppress(OSError):
            events.send(imported=imported)
    return _leave(code)


def join_cgroups(descriptors: dict[str, int], *, joined: bool = False) -> None:
    """Move into the control groups whose entrances are among the descriptors, unless `joined`; close the entrances."""
    entrances = [descriptors.pop(name) for name in ("memory", "pids") if name in descriptors]
    try:
        for entrance in () if joined else entrances:
            os.write(entrance, b"0")  # the process that writes
    finally:
        for entrance in entrances:
            os.close(entrance)


def _read_order(descriptor: int) -> dict[str, Any]:
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        order: dict[str, Any] = json.loads(file.read())
    return order


def _settle(descriptors: dict[str, int]) -> int:
    """Put the standard streams where they belong; return the descriptor for events."""
    stdin = descriptors.get("stdin")
    if stdin is None:
        stdin = os.open(os.devnull, os.O_RDONLY)
    else:
        with contextlib.suppress(OSError):  # a pipe, where the job is spoken with
            os.lseek(stdin, 0, os.SEEK_SET)
    for number, descriptor in ((0, stdin), (1, descriptors["out"]), (2, descriptors["err"])):
        os.dup2(descriptor, number)
        os.close(descriptor)
    return descriptors["events"]


def _open_streams() -> None:
    """Open the streams anew: those of the init remember what their descriptors once were. Lines go out as they end."""
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # type: ignore[misc]  # noqa: SIM115
    out, err = (open(n, "w", 1, "utf-8", "backslashreplace", closefd=False) for n in (1, 2))  # noqa: SIM115
    sys.stdout = sys.__stdout__ = out  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = err  # type: ignore[misc]


def _limit(limits: dict[str, int], walls: Walls) -> None:
    bounds = {
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_CPU: (limits["cpu_s"], limits["cpu_s"] + 1),
        resource.RLIMIT_NOFILE: (limits["files"], limits["files"]),
        resource.RLIMIT_FSIZE: (limits["file_mb"] << 20, limits["file_mb"] << 20),
    }
    if limits.get("processes"):
        most = limits["processes"] + SLACK + _counted_already(walls)
        bounds[resource.RLIMIT_NPROC] = (most, most)
    if limits.get("memory_mb"):
        room = (limits["memory_mb"] << 20) + _data_now()
        bounds[resource.RLIMIT_DATA] = (room, room)
    for what, (soft, hard) in bounds.items():
        _, most = resource.getrlimit(what)
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)  # noqa: PLW2901
        resource.setrlimit(what, (soft, hard))


def _counted_already(walls: Walls) -> int:
    """Return how many processes and threads the kernel counts for this user beside the job's own.

    Since Linux 5.14 a user namespace counts for itself; outside one everything that the user runs counts. Where the
    user is root the limit does not bind at all, and the init's watch is what there is.
    """
    if walls.own_processes and not walls.own_user and walls.name != "bare":
        release = tuple(int(part) for part in os.uname().release.split(".")[:2] if part.isdecimal())
        return 0 if release >= (5, 14) else 1 << 20
    total, me = 0, os.getuid()
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdecimal() and entry.stat().st_uid == me:
                total += len(os.listdir(f"/proc/{entry.name}/task"))  # noqa: PTH208
        except OSError:
            continue
    # Of a session's other box nothing is seen from here.
    return total + OTHER_BOX if walls.own_user else total


def _data_now() -> int:
    """Return the bytes of private writable memory that the preloaded libraries take already."""
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - pathlib costs more than the read
        return int(file.read().split()[5]) * os.sysconf("SC_PAGE_SIZE")


def _refresh_randomness() -> None:
    """Give this job random numbers of its own: forks would share the state of the libraries' generators."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


def _shell(order: dict[str, Any]) -> None:
    os.environ.update(order["secrets"])
    for shell in ("/bin/bash", "/bin/sh"):
        if os.access(shell, os.X_OK):
            os.execv(shell, [shell, "-c", order["code"]])  # noqa: S606
    raise FileNotFoundError("there is neither /bin/bash nor /bin/sh in this box")


def _python(order: dict[str, Any], events: Events) -> int:
    """Run the code as `__main__` would be run; the traceback of a failure goes to stderr with the code's own lines."""
    os.environ.update(order["secrets"])
    import linecache
    import traceback

    main = type(sys)("__main__")
    sys.modules["__main__"] = main
    sys.argv = ["program.py"]
    sys.path[:0] = [order["workdir"], *_session_libraries()]
    code = order["code"]
    linecache.cache[SOURCE] = (len(code), None, code.splitlines(keepends=True), SOURCE)
    try:
        exec(compile(code, SOURCE, "exec", dont_inherit=True), main.__dict__)  # noqa: S102 - this is the job
    except SystemExit as error:
        return _exit_code(error)
    except BaseException as error:
        _note(error, events)
        traceback.print_exception(error.with_traceback(own_part(error)))
        return 1
    return 0


def _session_libraries() -> list[str]:
    """Return the folder with what pip has installed for this session, when there is one."""
    folder = os.environ.get("PYTHONPATH", "").partition(":")[0]
    return [folder] if folder and os.path.isdir(folder) else []  # noqa: PTH112


def own_part(error: BaseException) -> types.TracebackType | None:
    """Return the traceback from the first line on that is not the sandbox's own."""
    here = os.path.dirname(__file__)  # noqa: PTH120
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(here):
        trace = trace.tb_next
    return trace


def _exit_code(error: SystemExit) -> int:
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code & 0xFF
    print(error.code, file=sys.stderr)  # noqa: T201 - what Python itself does
    return 1


def _note(error: BaseException, events: Events) -> None:
    """Tell the host when a limit was the reason."""
    if isinstance(error, MemoryError):
        events.send(note="oom")
    elif isinstance(error, OSError) and error.errno in _DISK_ERRORS:
        events.send(note="disk")
    elif isinstance(error, OSError) and error.errno == errno.EAGAIN and not _can_fork():
        events.send(note="pids")


def _can_fork() -> bool:
    """Tell whether one more process is allowed; the same error stands for other things too."""
    try:
        pid = os.fork()
    except OSError:
        return False
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return True


def _tool(order: dict[str, Any], events: Events) -> int:
    from sandbox import tools

    sys.path += _session_libraries()  # last: what the session installed must not stand in for what a tool relies on
    try:
        result = tools.call(order, events)
        try:
            events.send(result=result)
        except frames.BadFrame as error:
            raise tools.too_large(str(error)) from None
    except (Exception, SystemExit) as error:
        _note(error, events)
        events.send(failure=tools.describe(error))
    return 0


def _leave(code: int) -> int:
    """Do what the interpreter does at its end, as far as the job's own doings go."""
    try:
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - waits for the job's threads
        atexit._run_exitfuncs()  # noqa: SLF001
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        return code or 1
    return code
