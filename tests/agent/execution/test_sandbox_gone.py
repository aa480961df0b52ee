"""A sandbox that ends under a step, as its container does in an update: what may be repeated is, all else is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.testing import Bot, step
from plugins.api import tool
from sandbox.api import SandboxGone

GONE = "The sandbox's sidecar is gone."


@tool
def note(text: str) -> str:
    """Note something."""
    return text


@tool(effect="once")
def send_mail(to: str) -> str:
    """Send an e-mail."""
    return to


@pytest.fixture
async def ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A bot whose sandbox ends under the first jobs, as many as `deaths` says; `jobs` holds the tools that came."""
    async with Bot(tmp_path, [note, send_mail], limits={"replans": 0}) as bot:
        run, bot.deaths, bot.jobs = bot.app.boxes.run, 1, []

        async def mortal(session_id, workspace, job, **more):
            bot.jobs.append(job.tool.function)
            if len(bot.jobs) <= bot.deaths:
                raise SandboxGone(GONE)
            return await run(session_id, workspace, job, **more)

        monkeypatch.setattr(bot.app.boxes, "run", mortal)
        yield bot


async def test_a_step_that_may_be_repeated_is_done_once_more(ending):
    ending.llm.will_plan(step("s1", "note", text="hi"))
    ending.llm.will_answer("It said hi.")
    answer = await ending.hears("note hi")
    assert (answer.text, ending.statuses, ending.jobs) == ("It said hi.", {"s1": "COMPLETED"}, ["note", "note"])


async def test_a_sandbox_that_ends_again_is_told(ending):
    ending.deaths = 2
    ending.llm.will_plan(step("s1", "note", text="hi"))
    answer = await ending.hears("note hi")
    assert GONE in answer.text
    assert (ending.statuses, ending.jobs) == ({"s1": "FAILED"}, ["note", "note"])


async def test_what_must_happen_once_is_not_repeated(ending):
    ending.llm.will_plan(step("s1", "send_mail", to="ann@example.org"))
    answer = await ending.hears("Send a mail to ann@example.org")
    assert GONE in answer.text
    assert (ending.statuses, ending.jobs) == ({"s1": "FAILED"}, ["send_mail"])
