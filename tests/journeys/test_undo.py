"""`/undo` brings a chat's files back to before the last request, shows that first, and loses nothing of anybody's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from agent.domain.messages import MessageKind
from agent.domain.provenance import Provenance
from agent.domain.states import Status
from agent.testing import Bot, step
from plugins.api import tool
from tests.journeys.conftest import Stage

FOREIGN = Provenance.of("web:evil.example", trusted=False)


@tool
def write(name: str, text: str) -> str:
    """Write a file."""
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text)
    return name


@tool
def delete(name: str) -> str:
    """Delete a file."""
    Path(name).unlink()
    return name


@tool
def executable(name: str) -> str:
    """Make a file executable."""
    Path(name).chmod(0o755)
    return name


@tool(effect="pure")
def look() -> str:
    """Look at nothing."""
    return "seen"


@tool
async def hang() -> str:
    """Work until the person stops it."""
    await asyncio.Event().wait()
    return ""


TOOLS = [write, delete, executable, look, hang]


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Bot]:
    async with Bot(tmp_path, TOOLS) as one:
        yield one


async def does(bot: Bot, *steps: tuple[str, dict[str, str]], title: str = "A job", **fields: object) -> None:
    named = [step(f"s{n}", name, after=(f"s{n - 1}",) if n else (), **args) for n, (name, args) in enumerate(steps)]
    bot.llm.will_plan(*named, title=title)
    bot.llm.will_answer("done")
    answer = await bot.hears(title, **fields)
    assert answer.status == Status.COMPLETED


def w(name: str, text: str) -> tuple[str, dict[str, str]]:
    return "write", {"name": name, "text": text}


async def undone(bot: Bot, **fields: object) -> str:
    """Send /undo and return what it shows."""
    await bot.receives("/undo", **fields)
    return (await bot.shown(MessageKind.NOTICE))[-1].payload["text"]


def files(bot: Bot) -> dict[str, str]:
    return {str(p.relative_to(bot.workspace)): p.read_text() for p in sorted(bot.workspace.rglob("*")) if p.is_file()}


async def last(bot: Bot) -> str:
    return str((await bot.shown(MessageKind.NOTICE))[-1].payload["text"])


async def test_undo_shows_what_it_would_do_then_brings_back_and_removes(bot: Bot):
    await does(bot, w("a.csv", "old"), w("gone.txt", "still here"), title="First")
    before = files(bot)
    await does(bot, w("a.csv", "new"), ("delete", {"name": "gone.txt"}), w("sub/chart.png", "x"), title="Second")
    assert await undone(bot) == ("↩️ Undo “Second”?\nBrings back: a.csv (changed), gone.txt\nRemoves: sub/chart.png")
    assert files(bot) != before
    assert await bot.taps("Undo") == "↩️ “Second” is undone."
    assert files(bot) == before
    assert await last(bot) == ("↩️ “Second” is undone.\nBrought back: a.csv, gone.txt\nRemoved: sub/chart.png")


async def test_keep_changes_nothing(bot: Bot):
    await does(bot, w("a.csv", "old"))
    await undone(bot)
    assert await bot.taps("Keep") == "Kept as it is."
    assert files(bot) == {"a.csv": "old"}


async def test_what_the_person_has_changed_or_sent_since_stays(bot: Bot, tmp_path: Path):
    await does(bot, w("a.txt", "one"), w("b.txt", "one"))
    await does(bot, w("a.txt", "two"), w("b.txt", "two"), w("c.txt", "two"), title="Second")
    (bot.workspace / "b.txt").write_text("mine")
    mine = tmp_path / "sent.txt"
    mine.write_text("sent")
    await bot.receives("", [mine])
    assert await undone(bot) == (
        "↩️ Undo “Second”?\nBrings back: a.txt (changed)\nRemoves: c.txt\nChanged since, so it stays: b.txt"
    )
    await bot.taps("Undo")
    assert files(bot) == {"a.txt": "one", "b.txt": "mine", "sent.txt": "sent"}


async def test_what_is_changed_between_the_question_and_the_button_is_shown_anew(bot: Bot):
    await does(bot, w("a.txt", "one"), w("b.txt", "one"))
    await undone(bot)
    (bot.workspace / "a.txt").write_text("mine")
    assert await bot.taps("Undo") == ""
    assert await last(bot) == (
        "The files were changed meanwhile. Look again:\n"
        "↩️ Undo “A job”?\nRemoves: b.txt\nChanged since, so it stays: a.txt"
    )
    await bot.taps("Undo")
    assert files(bot) == {"a.txt": "mine"}


async def test_a_second_undo_goes_back_one_more_and_requests_without_files_are_passed_over(bot: Bot):
    await does(bot, w("a.txt", "one"), title="First")
    await does(bot, w("a.txt", "two"), title="Second")
    await does(bot, ("look", {}), title="Third")
    for title, left in (("Second", {"a.txt": "one"}), ("First", {})):
        assert f"“{title}”" in await undone(bot)
        await bot.taps("Undo")
        assert files(bot) == left
    assert await undone(bot) == "There is nothing to undo here."


async def test_taking_it_back_restores_what_was_undone_and_it_can_be_undone_again(bot: Bot):
    await does(bot, w("a.txt", "one"), title="First")
    await does(bot, w("a.txt", "two"), w("b.txt", "two"), title="Second")
    await undone(bot)
    await bot.taps("Undo")
    assert await bot.taps("Take it back") == "↪️ “Second” is there again."
    assert files(bot) == {"a.txt": "two", "b.txt": "two"}
    assert "“Second”" in await undone(bot)
    await bot.taps("Undo")
    assert files(bot) == {"a.txt": "one"}


async def test_undo_again_when_nothing_is_left_offers_to_take_it_back(bot: Bot):
    await does(bot, w("a.txt", "one"))
    await undone(bot)
    await bot.taps("Undo")
    assert await undone(bot) == "There is nothing to undo here."
    await bot.taps("Take it back")
    assert files(bot) == {"a.txt": "one"}


async def test_labels_go_back_with_the_files(bot: Bot):
    store, session = bot.app.store, bot.dest.session_id
    await does(bot, w("a.txt", "mine"))
    trusted = (await store.labels(session))["a.txt"]
    assert trusted.trusted
    await does(bot, w("a.txt", "theirs"), title="Second")
    run, (file,) = await bot.last_run(), await store.artifacts_of((await bot.last_run()).id)
    await store.add_artifacts(session, run.id, "s0", [replace(file, provenance=FOREIGN)])
    await undone(bot)
    await bot.taps("Undo")
    assert (await store.labels(session))["a.txt"] == trusted
    await bot.taps("Take it back")
    assert not (await store.labels(session))["a.txt"].trusted
    assert (bot.workspace / "a.txt").read_text() == "theirs"


async def test_the_right_to_execute_goes_back_too(bot: Bot):
    await does(bot, w("run.sh", "echo"))
    await does(bot, ("executable", {"name": "run.sh"}), title="Second")
    await undone(bot)
    await bot.taps("Undo")
    assert (bot.workspace / "run.sh").stat().st_mode & 0o111 == 0


async def test_a_file_comes_back_where_a_folder_stands_now(bot: Bot):
    await does(bot, w("x", "a file"))
    await does(bot, ("delete", {"name": "x"}), w("x/y", "in a folder"), title="Second")
    await undone(bot)
    await bot.taps("Undo")
    assert files(bot) == {"x": "a file"}


async def test_while_something_is_being_worked_on_nothing_is_undone(bot: Bot):
    await does(bot, w("a.txt", "one"))
    bot.llm.will_plan(step("s1", "hang"), title="Long")
    await undone(bot)
    await bot.receives("work long")
    async with asyncio.timeout(30):
        while (await bot.last_run()).title != "Long":
            await asyncio.sleep(0.01)
    assert "I'm still at “Long”" in await undone(bot)
    assert "I'm still at “Long”" in await bot.taps("Undo")
    await bot.receives("/stop")
    assert files(bot) == {"a.txt": "one"}


async def test_a_stopped_request_can_be_undone_as_well(bot: Bot):
    bot.llm.will_plan(step("s0", "write", name="a.txt", text="x"), step("s1", "hang", after=("s0",)), title="Long")
    await bot.receives("work long")
    async with asyncio.timeout(30):
        while not (bot.workspace / "a.txt").exists():
            await asyncio.sleep(0.01)
    await bot.receives("/stop")
    assert "Removes: a.txt" in await undone(bot)
    await bot.taps("Undo")
    assert files(bot) == {}


async def test_members_undo_only_what_they_have_asked_for_and_owners_everything(bot: Bot):
    await does(bot, w("a.txt", "owner's"), title="The owner's")
    assert await undone(bot) == "↩️ Undo “The owner's”?\nRemoves: a.txt"
    action = (await bot.shown(MessageKind.NOTICE))[-1].payload["buttons"][0][0]["action"]
    member = replace(await bot.receives("/undo"), user_id="2", trusted=False, update_id="m1", id=0)
    await bot.app.reception.hear((await bot.app.store.receive([member]))[0])
    assert await last(bot) == "There is nothing to undo here."
    press = replace(member, action=action, text="", update_id="m2")
    assert await bot.app.reception.press(press) == "Only the person who asked may do that."
    assert files(bot) == {"a.txt": "owner's"}
    assert await bot.presses(action) == "↩️ “The owner's” is undone."


async def test_a_file_that_is_too_large_to_keep_is_named_and_stays(tmp_path: Path):
    @tool
    def enlarge(name: str) -> str:
        """Make a file larger than a megabyte."""
        Path(name).write_text("x" * (2 << 20))
        return name

    async with Bot(tmp_path, [*TOOLS, enlarge], chat={"undo_mb": 1}) as bot:
        await does(bot, ("enlarge", {"name": "big.txt"}))
        await does(bot, w("big.txt", "small"), w("new.txt", "n"), title="Second")
        assert "Too large to be kept, so it stays: big.txt" in await undone(bot)
        await bot.taps("Undo")
        assert files(bot) == {"big.txt": "small"}


async def test_switched_off_nothing_is_kept_and_that_is_said(tmp_path: Path):
    async with Bot(tmp_path, TOOLS, chat={"undo_runs": 0}) as bot:
        await does(bot, w("a.txt", "one"))
        assert await undone(bot) == "Nothing is kept to go back to: `chat.undo_runs` is 0."
        assert not (bot.workspace.parent / "versions").exists()


async def test_only_so_many_requests_can_be_undone_and_their_bytes_are_forgotten(tmp_path: Path):
    async with Bot(tmp_path, TOOLS, chat={"undo_runs": 2}) as bot:
        for number in range(10):
            await does(bot, w("a.txt", f"text {number}"), title=f"Job {number}")
        snapshots = await bot.app.store.snapshots(bot.dest.session_id)
        kept = list((bot.workspace.parent / "versions" / "contents").glob("*/*"))
        assert len(snapshots) <= 7
        assert len(kept) <= 8
        await undone(bot)
        await bot.taps("Undo")
        assert files(bot) == {"a.txt": "text 8"}


async def test_what_is_kept_lies_where_no_sandbox_reaches_it_and_only_its_owner(bot: Bot):
    await does(bot, w("a.txt", "one"), w("a.txt", "two"))
    folder = bot.workspace.parent / "versions"
    assert folder.stat().st_mode & 0o077 == 0
    assert bot.workspace not in folder.parents


async def test_no_two_desks_claim_the_same_button_or_command(bot: Bot):
    for claimed in ("actions", "commands"):
        names = [name for door in bot.app.reception.doors for name in getattr(door, claimed)]
        assert sorted(set(names)) == sorted(names)


async def test_on_telegram_undo_is_shown_done_and_taken_back_in_one_message_in_the_persons_language(stage: Stage):
    for text in ("alt", "neu"):
        stage.will_plan(step("s1", "write_file", path="liste.txt", text=text), title=f"Liste {text}")
        stage.will("answer", f"Steht: {text}")
    async with stage.up():
        for text in ("alt", "neu"):
            stage.says(f"Liste {text}", language="de")
            await stage.sees(f"Steht: {text}")
        stage.says("/undo", language="de")
        asked = await stage.sees("↩️ „Liste neu“ rückgängig machen?", button="↩️ Rückgängig")
        assert "Bringt zurück: liste.txt (geändert)" in asked.text
        assert asked.labels == ["↩️ Rückgängig", "Behalten"]
        await stage.presses(asked, "↩️ Rückgängig")
        done = await stage.sees("„Liste neu“ ist rückgängig gemacht.", button="↪️ Doch nicht")
        assert done.id == asked.id
        assert (stage.workspace() / "liste.txt").read_text().strip() == "alt"
        await stage.presses(done, "↪️ Doch nicht")
        again = await stage.sees("„Liste neu“ ist wieder da.")
        assert (again.id, again.labels) == (asked.id, [])
        assert (stage.workspace() / "liste.txt").read_text().strip() == "neu"
    assert stage.refused() == []
