"""Command lines, run inside the sandbox in the session's workspace."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
from typing import IO

from plugins.api import Output, ToolFailure, tool

HEAD = 20_000
TAIL = 20_000
LAST_LINES = 12
MAX_SECONDS = 600.0


@tool(
    reads_all=True,
    timeout=MAX_SECONDS,
    produces=("text",),
    examples=(
        "run the command {command}",
        "run {command} in the shell",
        "execute the command {command}",
        "shell {command}",
        "führe den befehl {command} aus",
    ),
)
def shell(command: str, timeout: float = 60) -> Output:
    """Run a command line in the workspace and return its output.

    `timeout` is in seconds. An exit code other than 0 is a failure that shows the last lines of the output.
    """
    if not command.strip():
        raise ToolFailure("The command is empty.", hint="Give a command line such as: ls -l")
    seconds = min(max(timeout, 0.1), MAX_SECONDS)
    process = subprocess.Popen(  # noqa: S603  # the walls around this process are the protection
        ["/bin/sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    output, error = _Capture(process.stdout), _Capture(process.stderr)
    code = _wait(process, seconds)
    # What the command left running would hold the pipes open for ever.
    _end_group(process)
    return _result(command, code, seconds, output.text(), error.text())


def _wait(process: subprocess.Popen[bytes], seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        if process.returncode is None:
            _end_group(process)
            process.wait()


def _end_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _result(command: str, code: int | None, seconds: float, output: str, error: str) -> Output:
    if code == 0:
        text = "\n".join(part.rstrip("\n") for part in (output, error) if part.strip())
        return Output({"code": code, "output": output, "error": error}, text or "Done; it printed nothing.")
    shown = command if len(command) <= 100 else command[:100] + "…"
    if code is None:
        raise ToolFailure(
            f"`{shown}` was stopped after {seconds:g} seconds.{_last(output, error)}",
            hint=f"Give it more time with timeout= (at most {MAX_SECONDS:g}), or do less at once.",
        )
    how = f"was ended by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
    hint = "There is no such program inside the sandbox." if code == 127 else ""
    raise ToolFailure(f"`{shown}` {how}.{_last(output, error)}", hint=hint)


def _last(output: str, error: str) -> str:
    lines = (error.strip() or output.strip()).splitlines()[-LAST_LINES:]
    return " Its last lines:\n" + "\n".join(line[:500] for line in lines) if lines else " It printed nothing."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class _Capture:
    """Reads a pipe to its end in a thread of its own; keeps the beginning and the end of what comes."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._head = bytearray()
        self._tail = bytearray()
        self._count = 0
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def text(self) -> str:
        """Wait for the end and return what was kept, with a line that says how many bytes are missing."""
        self._thread.join()
        self._pipe.close()
        head, tail = self._head.decode(errors="replace"), bytes(self._tail).decode(errors="replace")
        missing = self._count - len(self._head) - len(self._tail)
        return head + tail if missing <= 0 else f"{head}\n… {missing:,} bytes left out …\n{tail}"

    def _read(self) -> None:
        while part := os.read(self._pipe.fileno(), 65_536):
            self._count += len(part)
            room = HEAD - len(self._head)
            self._head += part[:room] if room > 0 else b""
            self._tail += part[max(room, 0) :]
            del self._tail[:-TAIL]
