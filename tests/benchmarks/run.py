"""All benchmarks, one after the other: `python -m tests.benchmarks.run [NAME …]`.

Prints each one's tables and, at the end, which of them missed a target. Exits with 1 when one did. Nothing runs at the
same time, but the machine may be busy otherwise: a missed target means that the benchmark is worth a second look alone.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = (
    "start_up",
    "execution",
    "planning",
    "planning_latency",
    "end_to_end",
    "fires",
    "first_message",
    "idle",
    "journal",
    "model_stream",
    "sandbox_jobs",
    "traces",
)


def main() -> int:
    """Run the named benchmarks, or all."""
    wanted = sys.argv[1:] or NAMES
    unknown = [name for name in wanted if not (Path(__file__).parent / f"{name}.py").exists()]
    if unknown:
        print(f"There is no benchmark {unknown[0]!r}. There are: {', '.join(NAMES)}.", file=sys.stderr)
        return 2
    missed = []
    for name in wanted:
        print(f"\n── {name} ──", flush=True)
        began = time.monotonic()
        if subprocess.run([sys.executable, "-m", f"tests.benchmarks.{name}"], cwd=ROOT, check=False).returncode:
            missed.append(name)
        print(f"({time.monotonic() - began:.0f} s)", flush=True)
    print("\nmissed a target:", ", ".join(missed) or "none")
    return int(bool(missed))


if __name__ == "__main__":
    sys.exit(main())
