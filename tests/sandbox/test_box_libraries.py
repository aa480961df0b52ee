"""What a box has loaded, and when: little at first, the large libraries only in the sessions that use them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sandbox.api import Job, Policy
from sandbox.box import LARGE, Box
from sandbox.canaries import probe

REPOSITORY = Path(__file__).resolve().parents[2]
LOOK = "import sys; print([name for name in ('pandas', 'duckdb', 'matplotlib.pyplot') if name in sys.modules])"


async def loaded(box: Box) -> str:
    return (await box.run(Job("python", LOOK, data=True))).stdout.text.strip()


async def test_a_large_library_is_there_for_the_next_job_once_a_job_has_used_it(folder: Path):
    async with Box("s", folder, Policy(), await probe()) as box:
        assert await loaded(box) == "[]"
        assert (await box.run(Job("python", "import pandas; print(pandas.Series([1]).sum())", data=True))).ok
        assert await loaded(box) == "['pandas']"
        assert (
            await box.run(Job("python", "import matplotlib.pyplot as p; p.plot([1]); p.savefig('a.png')", data=True))
        ).ok
        assert await loaded(box) == "['pandas', 'matplotlib.pyplot']"
    async with Box("other", folder.parent / "other", Policy(), await probe()) as other:
        assert await loaded(other) == "[]"


async def test_a_replaced_box_knows_what_it_has_not(folder: Path):
    async with Box("s", folder, Policy(), await probe()) as box:
        await box.run(Job("python", "import duckdb", data=True))
        assert await loaded(box) == "['duckdb']"
        box._cells[True].kill()
        assert await loaded(box) == "[]"
        await box.run(Job("python", "import duckdb", data=True))
        assert await loaded(box) == "['duckdb']"


async def test_a_job_cannot_have_its_own_code_loaded_for_the_next_one(folder: Path):
    """What it says it has imported is compared with a list."""
    folder.mkdir()
    (folder / "mine.py").write_text("raise SystemExit('in the init')")
    code = (
        "import json, os, struct\nbody = json.dumps({'imported': ['mine', 'os.path', '../mine', 7, None]}).encode()\n"
        "for descriptor in range(3, 40):\n"
        "    try: os.write(descriptor, struct.pack('>I', len(body)) + body)\n"
        "    except OSError: pass\n"
    )
    async with Box("s", folder, Policy(), await probe()) as box:
        assert (await box.run(Job("python", code, data=True))).ok
        assert box._loaded == set()
        assert (
            await box.run(Job("python", "import sys; print('mine' in sys.modules)", data=True))
        ).stdout.text == "False\n"
    assert "mine" not in LARGE


def test_a_box_comes_up_without_what_takes_long_to_load():
    code = (
        "import sys, sandbox.worker\n"
        "print([n for n in ('dataclasses', 'inspect', 'pathlib', 'typing', 'asyncio', 'pydantic') if n in sys.modules])"
    )
    command = [sys.executable, "-I", "-S", "-B", "-c", f"import sys; sys.path[:0] = [{str(REPOSITORY)!r}]\n{code}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=200)
    assert said.stdout == "[]\n"
