"""Whether this machine is short of memory, so that warm boxes give theirs back before somebody else is killed."""

from __future__ import annotations

import re
from pathlib import Path

LOW_SHARE = 0.08
LOW_BYTES = 384 << 20
STALLED_PERCENT = 10.0

_MEMINFO, _PRESSURE = Path("/proc/meminfo"), Path("/proc/pressure/memory")


def short_of_memory(meminfo: Path = _MEMINFO, pressure: Path = _PRESSURE) -> bool:
    """Tell whether little is available, or processes wait for memory (Linux's pressure-stall information)."""
    return _little_available(meminfo) or _stalled(pressure)


def _little_available(meminfo: Path) -> bool:
    try:
        found = dict(re.findall(r"^(MemTotal|MemAvailable):\s+(\d+) kB", meminfo.read_text(), re.MULTILINE))
        total, available = int(found["MemTotal"]) << 10, int(found["MemAvailable"]) << 10
    except (OSError, KeyError):
        return False
    return available < min(LOW_BYTES, total // 2) or available < LOW_SHARE * total


def _stalled(pressure: Path) -> bool:
    try:
        found = re.search(r"^some avg10=([0-9.]+)", pressure.read_text(), re.MULTILINE)
    except OSError:
        return False
    return found is not None and float(found[1]) > STALLED_PERCENT
