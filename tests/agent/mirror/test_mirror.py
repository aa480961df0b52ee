"""A session's files on two hosts: what one keeps, the other fetches; what was cut off does no harm."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore

from agent.errors import StaleLease, StorageFailed
from agent.mirror.objects import Found, Objects
from agent.mirror.side import Side

Hosts = Callable[..., Any]


async def test_what_one_host_keeps_another_fetches(host: Hosts) -> None:
    one, two = host("one"), host("two")
    script = one.put("deep/er/run.sh", "echo hi")
    script.chmod(0o755)
    os.utime(script, ns=(10**18, 10**18))
    one.put("leer", "")

    await one.mirror.keep(one.session)
    await two.mirror.fetch(two.session)

    assert two.names() == {"deep/er/run.sh": "echo hi", "leer": ""}
    status = (two.work / "deep/er/run.sh").stat()
    assert (status.st_mode & 0o777, status.st_mtime_ns) == (0o755, 10**18)


async def test_changes_and_removals_follow(host: Hosts) -> None:
    one, two = host("one"), host("two")
    one.put("a", "1")
    one.put("b", "1")
    await one.mirror.keep(one.session)
    await two.mirror.fetch(two.session)
    two.put("a", "2")
    (two.work / "b").unlink()
    two.put("b/c", "a folder where a file was")
    await two.mirror.keep(two.session)

    await one.mirror.fetch(one.session)

    assert one.names() == {"a": "2", "b/c": "a folder where a file was"}


async def test_names_of_all_kinds_come_back_as_they_were(host: Hosts) -> None:
    one, two = host("one"), host("two")
    names = [
        "Ümläut & co.txt",
        "日本語/ファイル.csv",
        "a+b=c%20.txt",
        "!21",
        "~tilde'(1)",
        ".hidden",
        "sp ace",
        "x" * 200,
        "é" * 100,
    ]
    for name in names:
        one.put(name, name)

    await one.mirror.keep(one.session)
    await two.mirror.fetch(two.session)

    assert two.names() == {name: name for name in names}


async def test_links_pipes_and_what_lies_behind_them_are_neither_kept_nor_followed(host: Hosts, tmp_path: Path) -> None:
    one, two = host("one"), host("two")
    (tmp_path / "secret").write_text("of the host")
    (one.work / "link").symlink_to(tmp_path / "secret")
    (one.work / "folder").symlink_to(tmp_path)
    os.mkfifo(one.work / "pipe")
    one.put("real", "1")
    await one.mirror.keep(one.session)
    (two.work / "real").symlink_to(tmp_path / "secret")

    await two.mirror.fetch(two.session)

    assert two.names() == {"real": "1"}
    assert not (two.work / "real").is_symlink()
    assert (tmp_path / "secret").read_text() == "of the host"


async def test_a_link_in_the_place_of_a_folder_keeps_what_comes_from_leaving_the_workspace(
    host: Hosts, tmp_path: Path
) -> None:
    one, two = host("one"), host("two")
    one.put("out/a", "1")
    await one.mirror.keep(one.session)
    (tmp_path / "elsewhere").mkdir()
    (two.work / "out").symlink_to(tmp_path / "elsewhere")

    await two.mirror.fetch(two.session)

    assert list((tmp_path / "elsewhere").iterdir()) == []


async def test_work_under_way_is_not_overwritten_by_a_fetch(host: Hosts) -> None:
    one, two = host("one"), host("two")
    one.put("a", "1")
    await one.mirror.keep(one.session)
    await two.mirror.take_up(two.session, "run")
    two.put("a", "being worked on")
    two.put("new", "being worked on")
    one.put("a", "2")
    one.put("sent", "by a person meanwhile")
    await one.mirror.keep(one.session)

    await two.mirror.fetch(two.session)

    assert two.names() == {"a": "being worked on", "new": "being worked on", "sent": "by a person meanwhile"}
    two.mirror.let_go("run")


async def test_what_a_killed_run_left_is_gone_once_others_went_on(host: Hosts) -> None:
    one, two = host("one"), host("two")
    one.put("a", "1")
    await one.mirror.keep(one.session)
    one.put("a", "half")
    one.put("half", "half")  # and the process ends here
    await two.mirror.fetch(two.session)
    two.put("b", "the other host goes on")
    await two.mirror.keep(two.session)

    again = host("one")
    await again.mirror.take_up(again.session, "run")

    assert again.names() == {"a": "1", "b": "the other host goes on"}
    again.mirror.let_go("run")


async def test_what_a_killed_run_left_stays_where_nothing_else_has_happened(host: Hosts) -> None:
    one = host("one")
    one.put("a", "1")
    await one.mirror.keep(one.session)
    one.put("half", "half")

    again = host("one")
    await again.mirror.take_up(again.session, "run")

    assert again.names() == {"a": "1", "half": "half"}
    again.mirror.let_go("run")


async def test_what_a_person_sends_while_a_run_is_taken_up_is_not_taken_for_left_behind(host: Hosts) -> None:
    one, two = host("one"), host("two")
    one.put("a", "1")
    await one.mirror.keep(one.session)
    await two.mirror.fetch(two.session)
    two.put("b", "1")
    await two.mirror.keep(two.session)

    async with one.mirror.writing(one.session):
        one.put("sent", "by a person")
        other = host("one")  # another process of the same host
        await other.mirror.fetch(other.session, alone=False)

    await two.mirror.fetch(two.session)
    assert two.names() == {"a": "1", "b": "1", "sent": "by a person"}


async def test_switching_the_storage_on_loses_nothing_of_what_is_here(host: Hosts) -> None:
    one, two = host("one"), host("two")
    one.put("old", "from before")

    await one.mirror.take_up(one.session, "run")
    await one.mirror.keep(one.session)
    one.mirror.let_go("run")
    await two.mirror.fetch(two.session)

    assert one.names() == two.names() == {"old": "from before"}


async def test_a_copy_that_was_lost_is_fetched_anew_and_empties_nothing(host: Hosts) -> None:
    one = host("one")
    one.put("a", "1")
    await one.mirror.keep(one.session)
    shutil.rmtree(one.session.folder)
    one.work.mkdir(parents=True)

    await one.mirror.keep(one.session)
    await one.mirror.fetch(one.session)

    assert one.names() == {"a": "1"}


async def test_who_lost_the_lease_writes_nothing(host: Hosts) -> None:
    one, two = host("one"), host("two")
    one.put("a", "1")
    await one.mirror.keep(one.session)
    one.put("a", "of a worker that is no longer asked")

    async def lost() -> None:
        raise StaleLease("taken over")

    with pytest.raises(StaleLease):
        await one.mirror.keep(one.session, may=lost)

    await two.mirror.fetch(two.session)
    assert two.names() == {"a": "1"}


async def test_what_was_delivered_and_earlier_versions_are_only_fetched_where_they_are_wanted(host: Hosts) -> None:
    one, two = host("one"), host("two")
    for path in ("delivered/7/chart.png", "versions/contents/ab/abcd", "versions/index", "versions/x.part"):
        (one.session.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (one.session.folder / path).write_text(path)
    await one.mirror.keep(one.session)

    await two.mirror.fetch(two.session)
    first = sorted(path for path in two.session.folder.rglob("*") if not path.name.startswith("."))
    await two.mirror.fetch(two.session, more=("delivered/", "versions/"))
    await two.mirror.keep(two.session)
    await one.mirror.fetch(one.session, more=("delivered/", "versions/"))

    assert first == [two.work]
    assert (two.session.folder / "delivered/7/chart.png").read_text() == "delivered/7/chart.png"
    assert (two.session.folder / "versions/contents/ab/abcd").exists()
    assert not (two.session.folder / "versions/index").exists()
    assert not (two.session.folder / "versions/x.part").exists()
    assert (one.session.folder / "versions/index").exists()


async def test_what_is_not_fetched_is_not_taken_for_removed(host: Hosts) -> None:
    one, two = host("one"), host("two")
    place = one.session.folder / "delivered/7/chart.png"
    place.parent.mkdir(parents=True)
    place.write_text("chart")
    await one.mirror.keep(one.session)
    await two.mirror.fetch(two.session)
    two.put("a", "1")
    await two.mirror.keep(two.session)

    three = host("three")
    await three.mirror.fetch(three.session, more=("delivered/",))

    assert (three.session.folder / "delivered/7/chart.png").read_text() == "chart"


async def test_two_hosts_that_write_history_at_once_lose_none_of_it(host: Hosts) -> None:
    one, two = host("one"), host("two")

    async def write(at: Any, who: str) -> None:
        for number in range(5):
            await at.folders.add_history(await at.folders.open("test:1"), "chat", f"{who}{number}", "done", "COMPLETED")

    await asyncio.gather(write(one, "one"), write(two, "two"))

    one.folders.forget("test:1")
    history = (await one.folders.file_of(await one.folders.open("test:1"))).history["chat"]
    assert sorted(entry.request for entry in history) == sorted(f"{w}{n}" for w in ("one", "two") for n in range(5))


async def test_two_hosts_that_remember_at_once_lose_nothing(host: Hosts) -> None:
    one, two = host("one"), host("two")
    await one.folders.memory(one.session).remember("likes tea")
    await two.folders.memory(two.session).text()
    (one.session.folder / "MEMORY.md").write_text(
        (one.session.folder / "MEMORY.md").read_text() + "- 2026-11-20 [FACT] lives in Bonn (user)\n"
    )
    await two.folders.memory(two.session).remember("likes coffee")
    await two.folders.memory(two.session).forget("tea")

    await one.mirror.keep(one.session)

    texts = {entry.text for entry in await two.folders.memory(two.session).entries()}
    assert texts == {"lives in Bonn", "likes coffee"}


async def test_another_hosts_session_is_found_not_made_anew(host: Hosts) -> None:
    one, two = host("one"), host("two")
    await one.folders.change(await one.folders.open("test:1", "de"), model="big")

    found = await two.folders.open("test:1", "en")

    assert (found.language, found.model) == ("de", "big")


async def test_a_large_file_goes_in_pieces_and_comes_back_whole(host: Hosts) -> None:
    one, two = host("one"), host("two")
    data = os.urandom(20_000_001)
    (one.work / "large").write_bytes(data)

    await one.mirror.keep(one.session)
    await two.mirror.fetch(two.session)

    assert (two.work / "large").read_bytes() == data


class Failing(Objects):
    """A storage that fails after so many calls."""

    left = 0

    async def put(self, *args: object, **fields: object) -> str:
        self.spend()
        return await super().put(*args, **fields)  # type: ignore[arg-type]

    async def get(self, *args: object, **fields: object) -> object:  # type: ignore[override]
        self.spend()
        return await super().get(*args, **fields)  # type: ignore[arg-type]

    def spend(self) -> None:
        if not self.left:
            raise StorageFailed("gone")
        self.left -= 1


async def test_what_breaks_off_in_the_middle_is_taken_up(host: Hosts) -> None:
    store = MemoryStore()
    through, whole = Failing(store, "memory"), Objects(store, "memory")
    one, two = host("one", through), host("two", whole)
    for number in range(6):
        one.put(f"f{number}", str(number))
    through.left = 4
    with pytest.raises(StorageFailed):
        await one.mirror.keep(one.session, patience=0)
    through.left = 6

    await one.mirror.keep(one.session, patience=0)  # what has arrived and is known to have is not sent again

    await two.mirror.fetch(two.session)
    assert two.names() == {f"f{number}": str(number) for number in range(6)}


async def test_a_storage_that_is_away_is_waited_for(host: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    through = Failing(store, "memory")
    one = host("one", through)
    one.put("a", "1")
    waited: list[float] = []

    async def later(seconds: float) -> None:
        waited.append(seconds)
        through.left = 10 if len(waited) == 3 else 0

    monkeypatch.setattr("agent.mirror.patience.asyncio.sleep", later)
    await one.mirror.keep(one.session)

    assert len(waited) == 3
    two = host("two", Objects(store, "memory"))
    await two.mirror.fetch(two.session)
    assert two.names() == {"a": "1"}


async def test_nothing_is_read_or_sent_where_nothing_has_changed(host: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    through = Failing(store, "memory")
    one = host("one", through)
    path = one.put("a", "1")
    os.utime(path, ns=(10**18, 10**18))
    through.left = 1
    await one.mirror.keep(one.session)

    await one.mirror.keep(one.session, patience=0)
    await one.mirror.fetch(one.session, patience=0)

    assert through.left == 0


async def test_an_object_that_is_none_of_ours_is_passed_over(host: Hosts, objects: Objects) -> None:
    one = host("one")
    await objects.put("files/test_1/work/!zz", b"?")
    await objects.put("files/test_1/elsewhere/a", b"?")

    await one.mirror.fetch(one.session)

    assert one.names() == {}


async def test_an_object_that_changes_while_it_is_fetched_is_left_to_the_next_time(
    host: Hosts, objects: Objects
) -> None:
    one = host("one")
    await objects.put("files/test_1/work/a", b"1")
    async with Side.opened(objects, one.home / "mirror" / "test_1", one.session.folder, "work") as side:
        await side.take("a", Found("of an earlier one", 9 << 20))

    assert one.names() == {}
    await one.mirror.fetch(one.session)
    assert one.names() == {"a": "1"}
