"""What the host writes to the forked child of the init: everything that it needs to become a job."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.api import Job
    from sandbox.layout import Launch


def no_network(job: Job) -> str:
    """Say why a job that needs the network is refused here."""
    where = ", ".join(job.net)
    return (
        f"This needs the network ({where}), and the sandbox cannot have a network of its own, in which it is watched: "
        "the kernel refuses new namespaces. Install bubblewrap (apt-get install bubblewrap) or allow user namespaces."
    )


def order(job: Job, launch: Launch, door: dict[str, Any], *, grouped: bool, large: tuple[str, ...] = ()) -> bytes:
    """Return the order; `door` is what opens the way to the network. With control groups the limits are theirs.

    Of the `large` libraries the job says afterwards which it has imported.
    """
    limits = job.limits
    tool = job.tool
    return json.dumps(
        {
            "kind": job.kind,
            "code": job.code,
            "env": {**door.get("env", {}), **job.env},
            "port": door.get("port", 0),
            "secrets": dict(job.secrets),
            "workdir": launch.workdir,
            "large": large,
            "limits": {
                "cpu_s": limits.cpu_s,
                "files": limits.files,
                "file_mb": limits.file_mb,
                "memory_mb": 0 if grouped else limits.memory_mb,
                "processes": limits.processes,
            },
            "tool": tool
            and {
                "source": launch.source(tool.source),
                "function": tool.function,
                "arguments": dict(tool.arguments),
                "wants_context": tool.wants_context,
            },
        },
    ).encode()
