"""Several processes called by one channel: each message is heard by one of them, also when that is killed."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.channels import claims as claims_module
from agent.channels.claims import Claims
from agent.channels.inbox import Lanes
from agent.domain.messages import Claim, Destination, InboundMessage
from agent.store.sql import SqlStore
from agent.testing.postgres import PostgresServer, binaries

from .conftest import Recorder

SECONDS = 60.0


def said(text: str, number: int, chat: str = "1", **fields: str) -> InboundMessage:
    return InboundMessage("telegram", str(number), Destination("telegram", chat), "11", text=text, **fields)


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def shared(tmp_path, clock):
    """A journal whose clock is moved by hand; the claims' own clock is the loop's."""
    store = SqlStore(tmp_path / "shared.db", clock=clock)
    await store.open()
    yield store
    await store.close()


async def test_who_leaves_gives_the_others_what_was_not_heard(store, monkeypatch):
    monkeypatch.setattr("agent.channels.inbox.LOOK_SECONDS", 0.02)
    first, second = Recorder(), Recorder()
    gate = first.gates["one"] = asyncio.Event()
    async with Lanes(store, second, claims=Claims(store, "telegram")) as others:
        async with Lanes(store, first, claims=Claims(store, "telegram")) as lanes:
            await lanes.receive([said("one", 1), said("two", 2)], "offset", "3")
            assert await others.replay("telegram") == 0
            await others.receive([said("three", 3), said("elsewhere", 4, "2")], "offset", "5")
            await second.until(lambda: second.texts == ["elsewhere"])
        await second.until(lambda: len(second.heard) == 4)
    assert not gate.is_set()
    assert (first.texts, second.texts) == ([], ["elsewhere", "one", "two", "three"])
    assert await store.unheard("telegram") == []


async def test_what_is_said_in_a_session_is_heard_in_order_whichever_process_receives_it(store, monkeypatch):
    monkeypatch.setattr("agent.channels.inbox.LOOK_SECONDS", 0.02)
    hearers = [Recorder(), Recorder()]
    order: list[str] = []
    for hearer in hearers:
        monkeypatch.setattr(hearer, "heard", Both(order))
        hearer.gates["0"] = asyncio.Event()
    async with (
        Lanes(store, hearers[0], claims=Claims(store, "telegram")) as one,
        Lanes(store, hearers[1], claims=Claims(store, "telegram")) as other,
    ):
        for number in range(20):
            lanes = other if number % 3 else one
            await lanes.receive([said(str(number), number)], "offset", str(number))
        await other.receive([said("stop", 20), said("", 21, action="a/1/allow")], "offset", "22")
        await hearers[1].until(lambda: order == ["stop"] and hearers[1].presses)
        hearers[0].gates["0"].set()
        async with asyncio.timeout(SECONDS):
            while len(order) < 21:
                await asyncio.sleep(0.01)
    assert order == ["stop", *map(str, range(20))]


class Both(list):
    """What one hearer heard, noted in common with another."""

    def __init__(self, order: list[str]) -> None:
        self.order = order

    def append(self, message: InboundMessage) -> None:
        self.order.append(message.text)
        super().append(message)


async def test_what_waits_for_another_process_is_heard_as_soon_as_that_has_heard_what_comes_before(store, monkeypatch):
    first, second = Recorder(), Recorder()
    gate = first.gates["one"] = asyncio.Event()
    monkeypatch.setattr("agent.channels.inbox.LOOK_SECONDS", 1e6)  # nobody looks round by the clock
    async with (
        Lanes(store, first, claims=Claims(store, "telegram", 1e6)) as lanes,
        Lanes(store, second, claims=Claims(store, "telegram", 1e6)) as others,
    ):
        await lanes.receive([said("one", 1)], "offset", "2")
        await others.receive([said("two", 2)], "offset", "3")
        gate.set()
        await first.until(lambda: first.texts == ["one", "two"])
    assert second.texts == []


async def test_an_edit_that_another_process_saw_counts(store):
    first = Recorder()
    gate = first.gates["one"] = asyncio.Event()
    async with Lanes(store, first, claims=Claims(store, "telegram")) as lanes:
        _, two = await lanes.receive([said("one", 1), said("twwo", 2)], "offset", "3")
        assert await store.edit_message(two.id, "two")
        gate.set()
        await first.until(lambda: first.texts == ["one", "two"])


async def test_of_a_process_of_this_host_that_is_dead_everything_is_taken_up_at_once(store):
    dead = await asyncio.create_subprocess_exec(sys.executable, "-c", PRINTS_ITS_NAME, stdout=asyncio.subprocess.PIPE)
    name = (await dead.communicate())[0].decode().strip()
    stored, _ = await store.receive_and_claim([said("one", 1)], "offset", "2", Claim(f"{name}/abc", 1e6))
    elsewhere, _ = await store.receive_and_claim(
        [said("two", 2, "2")], "offset", "3", Claim(f"another-{name}/abc", 1e6)
    )
    mine = Claims(store, "telegram")
    assert await mine.take() == stored
    assert await mine.take() == []
    assert await store.unheard("telegram") == [*stored, *elsewhere]


PRINTS_ITS_NAME = "from agent.engine.owner import own_name; print(own_name())"


async def test_hearing_ends_when_another_has_taken_the_message_over(shared, clock):
    """As after a long freeze: the process did not say that it has the message, and now wakes up in the middle of it."""
    frozen, awake = Claims(shared, "telegram"), Claims(shared, "telegram")
    _, [message] = await frozen.receive([said("one", 1)], "offset", "2")
    clock.now += claims_module.CLAIM_SECONDS
    went_on = False
    async with asyncio.timeout(SECONDS), frozen.hearing(message) as ours:
        assert ours
        assert await awake.take() == [message]
        await frozen.renew()
        await asyncio.Event().wait()
        went_on = True
    assert not went_on
    async with frozen.hearing(message) as ours:
        assert not ours
    async with awake.hearing(message) as ours:
        assert ours


async def test_what_is_renewed_while_it_is_heard_stays(shared, clock):
    one, other = Claims(shared, "telegram"), Claims(shared, "telegram")
    _, [message] = await one.receive([said("one", 1)], "offset", "2")
    async with one.hearing(message) as ours:
        for _ in range(3):
            clock.now += claims_module.CLAIM_SECONDS - 1
            await one.renew()
            assert await other.take() == []
        await shared.heard(message.id)
        await one.renew()  # what counts as heard is still at work here, and goes on
        await asyncio.sleep(0)
    assert ours


async def test_who_cannot_say_that_it_has_a_message_stops_by_itself(shared):
    one = Claims(shared, "telegram", seconds=2.0)
    _, [message] = await one.receive([said("one", 1)], "offset", "2")
    async with asyncio.timeout(SECONDS), one.hearing(message) as ours:
        assert ours
        await asyncio.Event().wait()


# --- real processes -----------------------------------------------------------------------------------------------
class Bots:
    """Processes at one journal."""

    def __init__(self, journal: str, folder: Path) -> None:
        self.journal = journal
        self.folder = folder
        self.all: list[asyncio.subprocess.Process] = []

    async def start(self, name: str) -> asyncio.subprocess.Process:
        program = Path(__file__).with_name("claiming_bot.py")
        pipes = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
        words = (sys.executable, program, self.journal, self.folder, name)
        self.all.append(await asyncio.create_subprocess_exec(*words, **pipes))
        await self.says(self.all[-1], "ready")
        return self.all[-1]

    @staticmethod
    async def says(process: asyncio.subprocess.Process, words: str) -> None:
        async with asyncio.timeout(SECONDS):
            while (line := await process.stdout.readline()).decode().strip() != words:
                assert line, f"it ended before it said {words!r}"

    async def hears(self, process: asyncio.subprocess.Process, words: str) -> None:
        process.stdin.write(f"{words}\n".encode())
        await process.stdin.drain()
        await self.says(process, f"stored {words.partition(' ')[2]}")

    def heard(self) -> list[str]:
        log = self.folder / "heard.log"
        return log.read_text().splitlines() if log.exists() else []

    async def until_heard(self, number: int) -> list[str]:
        async with asyncio.timeout(SECONDS):
            while len(self.heard()) < number:
                await asyncio.sleep(0.05)
        return self.heard()


@asynccontextmanager
async def bots_at(journal: str, folder: Path):
    made = Bots(journal, folder)
    try:
        yield made
    finally:
        for one in made.all:
            if one.returncode is None:
                one.kill()
            await one.wait()


@pytest.fixture(params=["sqlite", "postgresql"])
async def bots(request, tmp_path):
    if request.param == "sqlite":
        async with bots_at(str(tmp_path / "journal.db"), tmp_path) as made:
            yield made
        return
    if binaries() is None:
        pytest.skip("there is no PostgreSQL on this machine")
    with PostgresServer.start() as server:
        async with bots_at(server.new_database(), tmp_path) as made:
            yield made


@pytest.mark.crash
async def test_what_a_killed_process_had_is_heard_by_another_once_and_in_order(bots: Bots):
    one, other = await bots.start("one"), await bots.start("other")
    await bots.hears(one, "1 hold-a")
    await bots.hears(one, "1 b")
    await bots.hears(one, "2 c")
    await bots.hears(other, "3 d")
    await bots.says(one, "begins hold-a")
    assert sorted(await bots.until_heard(2)) == ["one c", "other d"]
    third = await bots.start("third")  # which replays nothing of what the others have
    await bots.hears(third, "4 e")
    await bots.until_heard(3)
    one.kill()
    await one.wait()
    (bots.folder / "hold-a").touch()
    assert sorted(line.split()[1] for line in await bots.until_heard(5)) == ["b", "c", "d", "e", "hold-a"]
    taken = [line for line in bots.heard() if line.endswith((" hold-a", " b"))]
    assert [line.split()[1] for line in taken] == ["hold-a", "b"]
    assert "one" not in {line.split()[0] for line in taken}
