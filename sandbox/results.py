"""From how a job ended to what is said about it."""

from __future__ import annotations

import json
import math
import os
import signal
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sandbox.api import Captured, Connection, FileChange, Job, JobResult, JobStatus, JobUsage, Rung
from sandbox.proxy import SPENT

if TYPE_CHECKING:
    from sandbox.cgroups import JobGroup
    from sandbox.running import Outcome

_STRUCK = {
    "timeout": JobStatus.TIMEOUT,
    "output": JobStatus.OUTPUT,
    "disk": JobStatus.DISK,
    "oom": JobStatus.OOM,
    "channels": JobStatus.OOM,
    "pids": JobStatus.PIDS,
    "cancelled": JobStatus.CANCELLED,
    "fork": JobStatus.PIDS,
}


def refused(why: str, rung: Rung) -> JobResult:
    """Return the result of a job that was not started; `why` is for the person and says the way on."""
    return JobResult(JobStatus.REFUSED, code=-1, stderr=Captured(why), rung=rung.name, warnings=(why,))


def result(
    job: Job,
    outcome: Outcome,
    group: JobGroup | None,
    changes: tuple[FileChange, ...],
    rung: Rung,
    *,
    over_disk: bool,
    complete: bool,
) -> JobResult:
    """Return what is said of a job that was started."""
    status, code, warnings = _ending(job, outcome, group, over_disk=over_disk)
    if not complete:
        warnings.append("The workspace is too large to be scanned whole; changes may be missing.")
    if rung.name in {"C", "D", "unsafe"}:
        warnings.append(f"Sandbox rung {rung.name}: {rung.stance}.")
    peak = max(outcome.peak, group.peak() if group else 0)
    return JobResult(
        status=status,
        code=code,
        stdout=outcome.out.result(),
        stderr=outcome.err.result(),
        usage=JobUsage(outcome.cpu, outcome.wall, peak),
        changes=changes,
        rung=rung.name,
        warnings=tuple(warnings),
        **(_of_tool(outcome, status, code) if job.kind == "tool" else {}),
    )


def with_connections(found: JobResult, made: tuple[Connection, ...]) -> JobResult:
    """Return the result with the connections that the job made, and a warning for each host that it was kept from."""
    if not made:
        return found
    kept = dict.fromkeys(f"It did not reach {c.host}:{c.port}: {c.reason}." for c in made if not c.allowed)
    said = list(kept)[:5]
    if any("not among the hosts" in line for line in said):
        said.append("The owner can allow hosts with sandbox.allow_hosts in dirigent.toml.")
    if any(c.reason == SPENT for c in made):
        said.append(f"Of the network, {SPENT} (sandbox.traffic_mb).")
    return replace(found, connections=made, warnings=(*found.warnings, *said))


def _ending(  # noqa: PLR0911 - one line a cause
    job: Job,
    outcome: Outcome,
    group: JobGroup | None,
    *,
    over_disk: bool,
) -> tuple[JobStatus, int, list[str]]:
    signalled = os.WIFSIGNALED(outcome.status)
    code = os.WTERMSIG(outcome.status) if signalled else os.WEXITSTATUS(outcome.status)
    limits = job.limits
    short_of_memory = group is not None and group.out_of_memory()
    if outcome.cause == "box":
        return JobStatus.SIGNAL, code, ["The sandbox itself ended while this ran; the next job gets a new one."]
    if outcome.cause == "channels":
        return JobStatus.OOM, code, [f"It had more than {limits.channels} sockets and pipes open at once."]
    if outcome.cause in _STRUCK:
        status = _STRUCK[outcome.cause]
        return status, code, list(filter(None, [_limit_said(status, job)]))
    if short_of_memory and (signalled or code):
        return JobStatus.OOM, code, [_limit_said(JobStatus.OOM, job)]
    if (signalled and code == signal.SIGXCPU) or (not signalled and code == 128 + signal.SIGXCPU):
        return JobStatus.TIMEOUT, code, [f"It used up its {limits.cpu_s} seconds of CPU time."]
    if over_disk or outcome.note == "disk" or code in _too_long_file(signalled=signalled):
        return JobStatus.DISK, code, [_limit_said(JobStatus.DISK, job)]
    if outcome.note in {"oom", "pids"}:
        return JobStatus(outcome.note), code, [_limit_said(JobStatus(outcome.note), job)]
    if short_of_memory:
        return JobStatus.EXIT, code, [f"A part of it was ended. {_limit_said(JobStatus.OOM, job)}"]
    if group is not None and group.out_of_processes():
        said = [_limit_said(JobStatus.PIDS, job)]
        return (JobStatus.PIDS if signalled or code else JobStatus.EXIT), code, said
    return (JobStatus.SIGNAL if signalled else JobStatus.EXIT), code, []


def _too_long_file(*, signalled: bool) -> set[int]:
    return {signal.SIGXFSZ} if signalled else {128 + signal.SIGXFSZ}


def _limit_said(status: JobStatus, job: Job) -> str:
    limits = job.limits
    return {
        JobStatus.TIMEOUT: f"It was ended after {limits.wall_s:g} seconds.",
        JobStatus.OUTPUT: f"It wrote far more than the {limits.output_bytes} bytes of output that are kept.",
        JobStatus.DISK: f"It wrote more than its {limits.disk_mb} MB in all or {limits.file_mb} MB in one file.",
        JobStatus.OOM: f"It needed more than its {limits.memory_mb} MB of memory.",
        JobStatus.PIDS: f"It wanted more than its {limits.processes} processes.",
    }.get(status, "")


def _of_tool(outcome: Outcome, status: JobStatus, code: int) -> dict[str, Any]:
    """Return the fields of a tool's result, distrusting every type: the job wrote this record itself."""
    match outcome.record:
        case {"failure": {"type": str(kind), "message": str(message), "hint": str(hint), "traceback": str(trace)}}:
            return {"failure": {"type": kind, "message": message, "hint": hint, "traceback": trace}}
        case {"result": {"value": value, "text": str(text), "partial": bool(partial), "files": list(files)}} if (
            _is_json(value)
        ):
            pairs = tuple((f[0], f[1]) for f in files if _is_file(f))
            cost = _dollars(outcome.record["result"].get("cost"))
            return {"value": value, "text": text, "partial": partial, "files": pairs, "cost": cost}
    if status is JobStatus.EXIT:
        message = f"The tool ended with exit code {code} without giving a result."
        return {"failure": {"type": "NoResult", "message": message, "hint": "", "traceback": ""}}
    return {}


def _is_json(value: object) -> bool:
    """Tell whether others read it, too: for Python alone NaN is JSON, and 1e999 a number."""
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return False
    return True


def _dollars(said: object) -> float | None:
    """Return a cost that a tool reports; None for what is no amount of money."""
    if isinstance(said, bool) or not isinstance(said, (int, float)):
        return None
    return float(said) if 0 <= said < math.inf else None


def _is_file(item: object) -> bool:
    return isinstance(item, list) and len(item) == 2 and all(isinstance(part, str) for part in item)
