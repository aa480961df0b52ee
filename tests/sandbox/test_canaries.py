"""Which rung is chosen, and what is said when there is none."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox import canaries, landlock, layout
from sandbox.api import Job, JobStatus, Policy, SandboxError
from sandbox.boxes import Boxes, open_sandbox
from sandbox.canaries import probe


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canaries, "_found", {})


@pytest.fixture
def _no_bubblewrap(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


@pytest.fixture
def _no_landlock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "abi", lambda: 0)


async def test_bubblewrap_gives_rung_a():
    rung = await probe()
    assert rung.name in {"A", "A-"}
    assert rung.safe


async def test_the_probe_is_made_once(monkeypatch: pytest.MonkeyPatch):
    first = await probe()
    monkeypatch.setattr(canaries, "_try_all", None)
    assert await probe() is first


@pytest.mark.usefixtures("_no_bubblewrap")
async def test_without_bubblewrap_landlock_is_the_wall(tmp_path: Path):
    rung = await probe()
    assert rung.name == "C"
    assert rung.safe
    assert "apt-get install bubblewrap" in rung.remedy
    async with await open_sandbox("s", tmp_path / "w") as box:
        result = await box.run(Job("python", "print(1)"))
    assert (result.stdout.text, result.rung) == ("1\n", "C")
    assert any("rung C" in warning for warning in result.warnings)


@pytest.mark.usefixtures("_no_bubblewrap", "_no_landlock")
@pytest.mark.parametrize("kind", ["shell", "tool"])
async def test_with_nothing_safe_every_real_job_is_refused_with_the_remedy(tmp_path: Path, kind):
    boxes = Boxes()
    assert (await boxes.rung()).name == "E"
    with pytest.raises(SandboxError) as caught:
        await boxes.run("s", tmp_path / "w", Job(kind, "true"))
    assert "apt-get install bubblewrap" in caught.value.remedy
    await boxes.close()


@pytest.mark.usefixtures("_no_bubblewrap", "_no_landlock")
async def test_unsafe_runs_only_by_the_owners_word_and_says_so(tmp_path: Path):
    async with await open_sandbox("s", tmp_path / "w", Policy(unsafe=True)) as box:
        assert box.rung.name == "unsafe"
        assert not box.rung.safe
        result = await box.run(Job("shell", "(setsid sleep 4711 &) ; echo ran"))
    assert result.stdout.text == "ran\n"
    assert result.status is JobStatus.EXIT
    assert any("no walls" in warning for warning in result.warnings)


async def test_unsafe_changes_nothing_where_walls_are_to_be_had(tmp_path: Path):
    async with await open_sandbox("s", tmp_path / "w", Policy(unsafe=True)) as box:
        assert box.rung.safe


@pytest.mark.usefixtures("_no_landlock")
async def test_a_bubblewrap_that_does_not_work_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    rung = await probe()
    assert rung.name == "E"
    assert "No permissions" in rung.stance
    assert "sysctl" in rung.remedy


@pytest.mark.usefixtures("_no_landlock")
async def test_a_bubblewrap_that_walls_nothing_off_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A wrapper that only runs the program: everything works, so everything escapes."""
    monkeypatch.setattr(layout, "bubblewrap", _open_door)
    rung = await probe()
    assert rung.name == "E"
    assert "read a host file" in rung.stance
    assert "reach the host's loopback" in rung.stance


def _open_door(bwrap: str, workspace: Path, policy: Policy, user: int | None = None) -> layout.Launch:
    return layout.without_bubblewrap("bare", workspace, workspace, policy)
