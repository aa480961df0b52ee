"""The sandbox's protocol and records: `Sandbox`, `Job`, `Limits`, `Policy`, `JobResult`.

    async with open_sandbox(session_id, workspace, policy) as box:
        result = await box.run(Job(kind="python", code="print(6 * 7)"))

Importing this module starts nothing and loads nothing heavy.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType


class SandboxError(Exception):
    """Nothing safe is available, or the box broke. `remedy` is the exact next thing to do."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(f"{message} {remedy}".strip())
        self.message = message
        self.remedy = remedy


class SandboxGone(SandboxError):
    """What ran the job ended before the job did: nobody knows how far it got."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one job may use. Seconds, mebibytes, counts, bytes.

    `disk_mb` and `entries` bound by how much the workspace may grow, deleted files that are still open included;
    `channels` are the sockets and pipes that are open at once, each of which has buffers in the kernel.
    """

    wall_s: float = 60.0
    cpu_s: int = 60
    memory_mb: int = 1024
    processes: int = 64
    files: int = 256
    file_mb: int = 64
    disk_mb: int = 1024
    output_bytes: int = 1_000_000
    entries: int = 50_000
    channels: int = 1500


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A plugin function to call inside: `source` is an importable module (`plugins.data`) or a plugin's host path."""

    source: str
    function: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    wants_context: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """One thing to run: Python source, a shell command line, or a tool call.

    `net` are the places it may reach: `host:port`, `host` (ports 80 and 443), `*.host`. A job reaches nothing else but
    what the policy allows every job, and that only over HTTP and TLS through the proxy that its environment names.
    `secrets` are the only ones it sees. `data` asks for the worker that has the data libraries imported. `run` and
    `step` say whose work it is; they come back in its connections, and nothing inside sees them.
    """

    kind: Literal["python", "shell", "tool"]
    code: str = ""
    tool: ToolCall | None = None
    stdin: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    net: tuple[str, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict)
    data: bool = False
    run: str = ""
    step: str = ""


class JobStatus(StrEnum):
    """How a job ended."""

    EXIT = "exit"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    OOM = "oom"
    DISK = "disk"
    PIDS = "pids"
    OUTPUT = "output"
    CANCELLED = "cancelled"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Captured:
    """What a job wrote: its beginning, its end, and how many bytes between them were dropped."""

    head: str = ""
    tail: str = ""
    dropped: int = 0

    @property
    def text(self) -> str:
        """Head and tail with a line between them that says what is missing."""
        if not self.dropped:
            return self.head + self.tail
        return f"{self.head}\n… {self.dropped} bytes left out …\n{self.tail}"


@dataclass(frozen=True, slots=True)
class JobUsage:
    """CPU and wall seconds, peak resident memory in bytes."""

    cpu_s: float = 0.0
    wall_s: float = 0.0
    peak_rss: int = 0


@dataclass(frozen=True, slots=True)
class FileChange:
    """A regular file in the workspace that the job added, modified or deleted. `path` is relative to the workspace."""

    path: str
    change: Literal["added", "modified", "deleted"]
    size: int = 0
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class Connection:
    """One attempt of a job to reach a host, for the audit log.

    `address` is the one that was connected to, or that it was refused for; empty when none was looked up. `network` is
    the class of that address: `public`, `private`, `loopback`, `link-local`, `this machine`, or `special`. `reason`
    says why it was refused or ended early. Bytes and seconds are those of the whole connection. `run` and `step` are
    the job's. A job that makes very many has the last of them summed up: `count` is then how many, without a host.
    """

    session: str
    host: str
    port: int
    address: str = ""
    allowed: bool = False
    reason: str = ""
    sent: int = 0
    received: int = 0
    seconds: float = 0.0
    network: str = ""
    run: str = ""
    step: str = ""
    count: int = 1


@dataclass(frozen=True, slots=True)
class Progress:
    """What a running tool reports through its context."""

    text: str
    done: float | None = None
    total: float | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """A piece of what a running job writes to its output, as it comes: at most `Limits.output_bytes` of each stream."""

    stream: Literal["stdout", "stderr"]
    text: str


@dataclass(frozen=True, slots=True)
class JobResult:
    """The result of a job.

    `code` is the exit code or the signal's number. For a tool call `value` is its JSON value, `text`, `files` (handed
    over with `ctx.artifact` or `Output.files`), `partial` and `cost` are as in `plugins.api.Output`, and `failure` is
    what went wrong in the tool ({"type", "message", "hint", "traceback"}) or None. `connections` are the hosts that it
    reached or wanted to reach, the first hundred.
    """

    status: JobStatus
    code: int = 0
    stdout: Captured = field(default_factory=Captured)
    stderr: Captured = field(default_factory=Captured)
    usage: JobUsage = field(default_factory=JobUsage)
    changes: tuple[FileChange, ...] = ()
    value: Any = None
    text: str = ""
    files: tuple[tuple[str, str], ...] = ()
    partial: bool = False
    cost: float | None = None
    failure: Mapping[str, str] | None = None
    rung: str = ""
    warnings: tuple[str, ...] = ()
    connections: tuple[Connection, ...] = ()

    @property
    def ok(self) -> bool:
        """True when the job ended by itself with exit code 0 and, for a tool, without a failure."""
        return self.status is JobStatus.EXIT and self.code == 0 and self.failure is None


@dataclass(frozen=True, slots=True)
class Policy:
    """How a session's box is built.

    `plugin_folders` are the owner's plugin folders, mounted read-only. `read_only` are further host paths to show
    inside. A warm process ends after `idle_s` seconds without a job, or when all sessions have more than
    `warm_processes`. `unsafe` runs without walls where none are available: only ever the owner's explicit choice.

    `allow_hosts` may be reached by every job; of the hosts that a job declares itself, those in `tool_hosts` may.
    `private_hosts` are the hosts whose addresses need not be public. `traffic_mb` is what one job may send and receive
    in all. Where the agent is root each session runs as one of `users` users from `first_user` on; 0 turns that off.
    `sidecar` is the socket of a sidecar (rung B), in which everything then runs. `on_connection` is told of each
    connection when it is over; it must not raise or wait. `dialler` is the sidecar's own: it gives each job the way by
    which its connections are made elsewhere.
    """

    plugin_folders: tuple[Path, ...] = ()
    read_only: tuple[Path, ...] = ()
    disk_mb: int = 1024
    idle_s: float = 300.0
    warm_processes: int = 40
    unsafe: bool = False
    allow_hosts: tuple[str, ...] = ()
    tool_hosts: tuple[str, ...] = ("*",)
    private_hosts: tuple[str, ...] = ()
    traffic_mb: int = 512
    first_user: int = 1_900_000_000
    users: int = 1 << 24
    sidecar: Path | None = None
    on_connection: Callable[[Connection], None] | None = None
    dialler: Callable[[], Callable[[Any], Awaitable[Any]]] | None = None


@dataclass(frozen=True, slots=True)
class Rung:
    """Which protection is in force: `name` (A, A-, C, E, …), `stance` in words, and the remedy for what is missing.

    `own_users`: sessions run as users of their own (only where the agent is root). `own_spaces`: rung C also takes
    namespaces of its own where the kernel gives them; where it gives only a part of them, as in many containers, not.
    """

    name: str
    stance: str
    remedy: str = ""
    own_users: bool = False
    own_spaces: bool = True

    @property
    def safe(self) -> bool:
        """True when commands and programs may run here."""
        return self.name in {"A", "A-", "B", "C", "D"}


class Talk(Protocol):
    """A job that is spoken with while it runs. Iterating gives what it writes to standard output, in order and whole.

    What nobody has taken yet is kept up to a bound, then the job waits: who wants it to go on must read. Iterating
    ends when the job has ended; it raises SandboxError when the box broke on the way (its sidecar is gone).
    """

    async def send(self, data: bytes) -> None:
        """Write to its standard input; waits while the job does not read. Raises SandboxError once it has ended."""

    def finish(self) -> None:
        """Close its standard input and let it run on. Twice is harmless."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def end(self) -> JobResult:
        """Close its input, wait a moment for it to end, kill it if it does not; return its result. Twice is harmless.

        What was killed has the status CANCELLED. `stdout` and `stderr` hold the head and the tail, as of every job.
        """


class Sandbox(Protocol):
    """A session's box. Several jobs may run at once. Cancelling `run` kills the job's processes at once."""

    rung: Rung

    async def run(self, job: Job) -> JobResult:
        """Run a job to its end."""

    def stream(self, job: Job) -> AsyncIterator[Progress | Written | JobResult]:
        """Run a job and yield its progress and what it writes, as it comes; the last item is the result."""

    def talk(self, job: Job, on_output: Callable[[Written], None] | None = None) -> AbstractAsyncContextManager[Talk]:
        """Start a job of kind shell or python and speak with it; leaving the context ends it.

        `limits.wall_s` bounds its life and `limits.cpu_s` its CPU time in all, so give both. `on_output` is told what
        it writes to its error output (and of the first of its standard output). Raises SandboxError when it is refused.
        """

    async def close(self) -> None:
        """Kill all that is left and free the box."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
