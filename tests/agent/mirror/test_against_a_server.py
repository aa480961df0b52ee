"""The mirror against a real S3 server over real sockets: what it refuses, what breaks off, what two hosts do at once."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

import agent
from agent.config.sessions import Sessions
from agent.errors import StorageFailed, StorageUnusable
from agent.mirror.mirror import Mirror
from agent.mirror.objects import Conflict, Objects, open_objects
from agent.testing.s3 import Cut, S3Server

pytestmark = pytest.mark.timeout(300)
Hosts = Callable[..., Any]
KEEPS = """
import asyncio, json, sys
from pathlib import Path
from agent.config.sessions import Sessions
from agent.domain.session import Profile, Session
from agent.mirror.mirror import Mirror
from agent.mirror.objects import open_objects

given, home, what = json.loads(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
session = Session("test:1", home / "sessions" / "test_1", Profile())
mirror = Mirror(open_objects(Sessions.model_validate(given)), home / "mirror")
asyncio.run(getattr(mirror, what)(session))
"""


@pytest.fixture
def settings(server: S3Server) -> Sessions:
    return server.new_bucket()


@pytest.fixture
async def way(server: S3Server) -> AsyncIterator[Cut]:
    async with Cut(server.address) as made:
        yield made


def through(settings: Sessions, way: Cut) -> Objects:
    return open_objects(settings.model_copy(update={"endpoint": way.address}))


async def test_files_of_all_kinds_go_from_host_to_host(host: Hosts, settings: Sessions) -> None:
    objects = open_objects(settings)
    one, two = host("one", objects), host("two", objects)
    names = ["a", "deep/er/ü & co.csv", "100%.txt", "a+b.txt", "日本語.txt", "!21", "empty/.keep"]
    for name in names:
        one.put(name, name)
    large = os.urandom(17_000_001)
    (one.work / "large").write_bytes(large)
    (one.work / "large").chmod(0o755)

    await one.mirror.keep(one.session)
    await two.mirror.fetch(two.session)

    assert (two.work / "large").read_bytes() == large
    assert (two.work / "large").stat().st_mode & 0o777 == 0o755
    (two.work / "large").unlink()
    assert two.names() == {name: name for name in names}
    await two.mirror.keep(two.session)
    await one.mirror.fetch(one.session)
    assert one.names() == two.names()
    assert await one.mirror.sessions() == ["test_1"]


async def test_what_stands_there_is_written_over_only_by_who_has_seen_it(settings: Sessions) -> None:
    objects = open_objects(settings)
    first = await objects.put("a", b"1", replacing="")
    await objects.put("a", b"2", replacing=first)

    for replacing in ("", first):
        with pytest.raises(Conflict):
            await objects.put("a", b"3", replacing=replacing)

    got = await objects.get("a")
    assert got is not None
    assert got.data == b"2"


async def test_two_hosts_that_write_history_at_once_lose_none_of_it(host: Hosts, settings: Sessions) -> None:
    hosts = [host(name, open_objects(settings)) for name in ("one", "two", "three")]

    async def write(at: Any, who: int) -> None:
        for number in range(4):
            session = await at.folders.open("test:1")
            await at.folders.add_history(session, "chat", f"{who}/{number}", "done", "COMPLETED")

    await asyncio.gather(*(write(at, who) for who, at in enumerate(hosts)))

    hosts[0].folders.forget("test:1")
    file = await hosts[0].folders.file_of(await hosts[0].folders.open("test:1"))
    assert sorted(entry.request for entry in file.history["chat"]) == sorted(
        f"{who}/{number}" for who in range(3) for number in range(4)
    )


async def test_a_check_says_what_is_wrong_with_the_storage(tmp_path: Path, settings: Sessions) -> None:
    async def said(**changed: Any) -> str:
        other = settings.model_copy(update=changed)
        with pytest.raises((StorageUnusable, StorageFailed)) as error:
            await Mirror(open_objects(other), tmp_path).check()
        assert "a secret of the storage" not in str(error.value)
        return str(error.value)

    await Mirror(open_objects(settings), tmp_path).check()
    assert "there is no such bucket" in await said(storage="s3://another/x")
    assert "cannot be reached" in await said(endpoint="http://127.0.0.1:9")
    assert "belong together" in await said(secret_key=None)


async def test_an_outage_is_waited_out_and_nothing_is_lost(host: Hosts, settings: Sessions, way: Cut) -> None:
    one, two = host("one", through(settings, way)), host("two", open_objects(settings))
    one.put("a", "1")
    way.cut()
    keeping = asyncio.create_task(one.mirror.keep(one.session))
    while way.refused < 5:
        await asyncio.sleep(0.05)
    with pytest.raises(StorageFailed, match="cannot be reached"):
        await host("three", through(settings, way)).mirror.fetch(one.session, patience=0)

    way.mend()
    await keeping

    await two.mirror.fetch(two.session)
    assert two.names() == {"a": "1"}


async def test_an_upload_that_breaks_off_leaves_the_old_file_there(host: Hosts, settings: Sessions, way: Cut) -> None:
    one, two = host("one", through(settings, way)), host("two", open_objects(settings))
    one.put("a", "old")
    await one.mirror.keep(one.session)
    (one.work / "a").write_bytes(b"x" * 12_000_000)
    way.after = 6_000_000
    keeping = asyncio.create_task(one.mirror.keep(one.session))
    await way.broke.wait()

    await two.mirror.fetch(two.session)

    assert two.names() == {"a": "old"}
    way.mend()
    await keeping
    await two.mirror.fetch(two.session)
    assert (two.work / "a").stat().st_size == 12_000_000


async def killed(settings: Sessions, way: Cut, home: Path, what: str, after: int) -> None:
    """Have another process keep or fetch, and kill it once so many bytes have gone up."""
    given = {"storage": settings.storage, "endpoint": way.address, "access_key": "key", "secret_key": "secret"}
    way.after = after
    environment = {**os.environ, "PYTHONPATH": str(Path(agent.__file__).parents[1])}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", KEEPS, json.dumps(given), str(home), what, env=environment
    )
    await way.broke.wait()
    process.kill()
    await process.wait()
    way.mend()


@pytest.mark.parametrize("after", [3_000, 30_000])
async def test_a_process_killed_while_it_keeps_is_taken_up(
    host: Hosts, settings: Sessions, way: Cut, after: int
) -> None:
    one, two = host("one", open_objects(settings)), host("two", open_objects(settings))
    files = {f"f{number}": f"{number}" * 500 for number in range(40)}
    for name, text in files.items():
        one.put(name, text)
    await killed(settings, way, one.home, "keep", after)

    await one.mirror.keep(one.session)
    await two.mirror.fetch(two.session)

    assert two.names() == files


async def test_a_process_killed_while_it_fetches_is_taken_up(host: Hosts, settings: Sessions, way: Cut) -> None:
    one, two = host("one", open_objects(settings)), host("two", open_objects(settings))
    files = {f"f{number}": f"{number}" * 500 for number in range(40)}
    for name, text in files.items():
        one.put(name, text)
    await one.mirror.keep(one.session)
    await killed(settings, way, two.home, "fetch", 8_000)
    assert len(two.names()) < len(files), "the kill came too late to show anything"
    assert all(text == files[name] for name, text in two.names().items() if not name.startswith("."))

    await two.mirror.take_up(two.session, "run")
    await two.mirror.keep(two.session)
    await one.mirror.fetch(one.session)

    assert one.names() == two.names() == files
    two.mirror.let_go("run")
