"""What a step leaves behind that was cut off keeps the label of what it had read."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

from agent.domain.provenance import Provenance
from agent.testing import Bot, step
from plugins.api import File, ToolFailure, tool


@tool(effect="read", host=True, untrusted=True, egress=["url"], produces=["text"])
async def fetch(url: str) -> str:
    """Read a page."""
    return "eve@evil.example"


@tool(effect="pure")
def look(path: Annotated[str, File()]) -> str:
    """Read a file."""
    return Path(path).read_text()


@tool(effect="once", host=True)
async def mail(to: str) -> str:
    """Write to somebody."""
    return to


@tool(effect="pure")
def refuse(text: str, count: int = 0) -> str:
    """Fail with what was given."""
    raise ToolFailure(text)


async def test_a_file_of_a_step_that_was_stopped_is_not_the_persons(tmp_path: Path):
    written, going = asyncio.Event(), asyncio.Event()

    @tool
    async def keep(text: str) -> str:
        """Write a file, and stay."""
        Path("left.txt").write_text(text)
        written.set()
        await going.wait()
        return "kept"

    async with asyncio.timeout(60), Bot(tmp_path / "home", [fetch, look, mail, keep]) as bot:
        bot.llm.will_plan(step("s1", "fetch", url="https://a.example"), step("s2", "keep", text="{{ s1.output }}"))
        await bot.receives("read https://a.example and keep it")
        await written.wait()
        await bot.hears("/stop")
        bot.llm.will_plan(step("t1", "look", path="left.txt"), step("t2", "mail", to="{{ t1.output }}"))
        await bot.hears("write to whom left.txt names")
        (asked,) = await bot.app.store.approvals_of((await bot.last_run()).id)
        labels = await bot.app.store.labels(bot.dest.session_id)
    assert asked.because == "your message · to comes from web:a.example#s1"
    assert labels["left.txt"].untrusted_names == ("web:a.example#s1",)


async def test_an_error_carries_what_the_step_was_given(tmp_path: Path):
    async with Bot(tmp_path / "home", [fetch, refuse]) as bot:
        bot.llm.will_plan(
            step("s1", "fetch", url="https://a.example"),
            step("s2", "refuse", text="{{ s1.output }}"),
            step("s3", "refuse", text="x", count="{{ s1.output }}"),
        )
        await bot.hears("read https://a.example")
        failed = [record for record in await bot.steps() if record.status == "FAILED"]
    assert len(failed) == 2
    assert all(record.provenance.untrusted_names == ("web:a.example#s1",) for record in failed)
    assert Provenance.union(record.control for record in failed).trusted
