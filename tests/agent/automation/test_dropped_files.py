"""Files in watched folders: whole, once each, whatever happens in between."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agent.automation.arrivals import being_written, scan
from agent.automation.files import put_away
from agent.automation.scheduler import AutomationScheduler
from agent.domain.trigger import Trigger, TriggerKind
from agent.store.sql import SqlStore

REQUEST = {"request": "Count the lines of {file}"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "drop"
    made.mkdir()
    return made


@pytest.fixture
async def real(tmp_path: Path, a_desk) -> AsyncIterator[AutomationScheduler]:
    """A scheduler in real time; its desk tells of every run that it is given."""
    store = SqlStore(tmp_path / "real.db")
    await store.open()
    automation = AutomationScheduler(store, a_desk())
    yield automation
    await automation.stop()
    await store.close()


@pytest.fixture
def a_watch(a_trigger, folder: Path) -> Callable[..., Trigger]:
    def make(**spec) -> Trigger:
        given = {"folder": str(folder), "pattern": "*.csv", "settle": 0.3, **spec}
        return a_trigger(given, kind=TriggerKind.FILE, target=REQUEST)

    return make


async def runs(automation: AutomationScheduler, count: int, seconds: float = 60.0) -> list[str]:
    """Wait until so many runs were opened and return what they are to do."""
    desk = automation.launcher.orchestrator
    async with asyncio.timeout(seconds):
        while len(desk.submitted) < count:
            desk.news.clear()
            await desk.news.wait()
    return [run.request for run in desk.submitted]


async def looked(automation: AutomationScheduler) -> None:
    """Return when the folder has been looked at once more from now on."""
    while not automation._files._woken:
        await asyncio.sleep(0.01)
    (woken,) = automation._files._woken.values()
    woken.set()
    for _ in range(2):
        while woken.is_set():
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)


async def test_a_file_that_arrives_is_copied_in_and_fires(real, a_watch, folder, bot):
    await real.create(a_watch())
    await real.start()

    (folder / "a.csv").write_text("x\n1\n")
    requests = await runs(real, 1)

    assert requests == ["Count the lines of a.csv"]
    assert (bot.workspace / "a.csv").read_text() == "x\n1\n"
    (run,) = real.launcher.orchestrator.submitted
    assert run.provenance.untrusted_names == ("file:a.csv",)
    assert (await real._store.labels("test:1"))["a.csv"].untrusted_names == ("file:a.csv",)


async def test_files_that_came_while_down_fire_at_the_start_and_never_again(real, a_watch, folder):
    await real.create(a_watch())
    (folder / "a.csv").write_text("1")
    (folder / "b.csv").write_text("2")
    (folder / "c.txt").write_text("3")
    await real.start()
    await runs(real, 2)
    await real.stop()

    await real.start()
    (folder / "d.csv").write_text("4")
    requests = await runs(real, 3)

    assert sorted(requests) == [f"Count the lines of {name}.csv" for name in "abd"]


async def test_a_half_written_file_waits_until_it_is_whole(real, a_watch, folder, bot):
    await real.create(a_watch())
    await real.start()
    with (folder / "slow.csv").open("w") as file:
        file.write("first half, ")
        file.flush()
        os.fsync(file.fileno())
        await looked(real)
        assert real.launcher.orchestrator.submitted == []
        file.write("second half")

    await runs(real, 1)

    assert (bot.workspace / "slow.csv").read_text() == "first half, second half"


async def test_a_file_that_is_renamed_into_place_counts_at_once(real, a_watch, folder):
    await real.create(a_watch(settle=1000))
    await real.start()
    (folder / "x.csv.part").write_text("whole")
    (folder / "other.csv").write_text("not renamed: it has to settle")
    await asyncio.sleep(0.05)  # the system's clock of files is coarse

    (folder / "x.csv.part").rename(folder / "x.csv")
    requests = await runs(real, 1)

    assert requests == ["Count the lines of x.csv"]


async def test_a_thousand_files_at_once_are_one_run_each(real, a_watch, folder):
    await real.create(a_watch(afterwards="move"))
    await real.start()
    for number in range(1000):
        (folder / f"{number}.csv").write_text(str(number))

    requests = await runs(real, 1000, 100)

    assert sorted(requests) == sorted(f"Count the lines of {number}.csv" for number in range(1000))
    await looked(real)
    assert len(real.launcher.orchestrator.submitted) == 1000
    assert sorted(path.name for path in folder.glob("*.csv")) == []
    assert len(list((folder / "processed").iterdir())) == 1000


async def test_a_changed_file_is_new_unless_changes_are_ignored(real, a_watch, folder, a_trigger):
    await real.create(a_watch())
    ignoring = {"folder": str(folder), "pattern": "*.csv", "settle": 0.3, "afterwards": "ignore"}
    await real.create(a_trigger(ignoring, id="t2", kind=TriggerKind.FILE, target={"request": "ignoring"}))
    await real.start()
    (folder / "a.csv").write_text("1")
    await runs(real, 2)

    (folder / "a.csv").write_text("two")
    requests = await runs(real, 3)

    assert [request.startswith("ignoring") for request in requests].count(True) == 1
    assert requests[-1].startswith("Count the lines of a-")


async def test_links_and_hidden_files_are_left_alone(real, a_watch, folder, tmp_path):
    (tmp_path / "secret.csv").write_text("secret")
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    (folder / ".hidden.csv").write_text("x")
    (folder / "real.csv").write_text("x")
    await real.create(a_watch())
    await real.start()
    await runs(real, 1)
    await looked(real)

    assert [run.request for run in real.launcher.orchestrator.submitted] == ["Count the lines of real.csv"]


async def test_a_folder_that_goes_and_comes_back_is_watched_again(real, a_watch, folder):
    await real.create(a_watch())
    await real.start()
    (folder / "a.csv").write_text("1")
    await runs(real, 1)
    (folder / "a.csv").unlink()
    folder.rmdir()
    await looked(real)
    assert "is gone" in (await real.status())["folders"]["t1"]

    folder.mkdir()
    (folder / "b.csv").write_text("2")
    await looked(real)
    requests = await runs(real, 2)

    assert requests[-1] == "Count the lines of b.csv"
    assert (await real.status())["folders"]["t1"] == "watched"


def test_a_file_that_somebody_writes_is_known_as_such(folder):
    path = folder / "a"
    path.write_text("x")
    assert not being_written(path)
    with path.open("a"):
        assert being_written(path)
    with path.open():
        assert not being_written(path)


async def test_a_name_that_comes_again_is_another_file_and_both_are_put_away(real, a_watch, folder):
    await real.create(a_watch(afterwards="move"))
    await real.start()
    for number, text in enumerate(["1", "another"], 1):
        (folder / "a.csv").write_text(text)
        await runs(real, number)
        async with asyncio.timeout(60):
            while (folder / "a.csv").exists():
                await looked(real)

    assert sorted(file.read_text() for file in (folder / "processed").iterdir()) == ["1", "another"]


def test_a_file_that_came_anew_between_its_fire_and_its_move_stays_for_a_fire_of_its_own(a_watch, folder):
    (folder / "a.csv").write_text("1")
    (fired,) = scan(folder, "*.csv")
    (folder / "a.csv").write_text("another")

    put_away(a_watch(afterwards="move"), fired)

    assert (folder / "a.csv").read_text() == "another"
