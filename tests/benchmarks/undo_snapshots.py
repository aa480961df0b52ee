"""What keeping earlier files costs a run: looking at a workspace of many files before it and after it.

    python tests/benchmarks/undo_snapshots.py [FILES]

Prints the milliseconds of a first look (everything is read and kept), of one at which nothing has changed, and of one
at which a single file has.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from agent.versions.kept import FRESH_NS, KeptFiles
from sandbox.workspace import Workspace

FILES = 10_000
IN_A_FOLDER = 500


def measured(home: Path, files: int) -> dict[str, float]:
    """Return the milliseconds of each kind of look at a workspace with so many files."""
    work = home / "work"
    for number in range(files):
        folder = work / f"d{number // IN_A_FOLDER}"
        if number % IN_A_FOLDER == 0:
            folder.mkdir(parents=True)
        (folder / f"f{number}.txt").write_text(f"file {number}\n" * 20)
    time.sleep(2 * FRESH_NS / 1e9)  # what was written just now is read again, to be sure
    kept = KeptFiles(home / "versions", 512 << 20)
    found = {}
    for name in ("first", "again", "unchanged", "one changed"):
        if name == "one changed":
            (work / "d0" / "f0.txt").write_text("changed")
        began = time.perf_counter()
        with kept.lock(), Workspace(work) as workspace:
            look = kept.look(workspace)
            kept.write_listing(look.files, {})
        found[name] = (time.perf_counter() - began) * 1000
    return found


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        for kind, milliseconds in measured(Path(place), int(sys.argv[1]) if sys.argv[1:] else FILES).items():
            print(f"{kind:12} {milliseconds:8.1f} ms")
