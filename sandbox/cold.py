"""A job in a process of its own, started for it alone: where no warm box can be had (rung D).

Settings (JSON, first argument): `request` and `events`, two descriptors. The walls are around the process already.
"""

from __future__ import annotations

import json
import os
import resource
import sys

from sandbox import inside


def main(argument: str) -> None:
    """Read the order, take on its limits, do it, and leave with its exit code."""
    settings = json.loads(argument)
    with os.fdopen(settings["request"], "rb") as file:
        order = json.loads(file.read())
    limits = order["limits"]
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_CPU, limits["cpu_s"]),
        (resource.RLIMIT_NOFILE, limits["files"]),
        (resource.RLIMIT_FSIZE, limits["file_mb"] << 20),
    ):
        resource.setrlimit(what, (most, most))
    code = inside.perform(order, inside.Events(settings["events"]))
    sys.stdout.flush()
    os._exit(code)
