"""Lives of a run that asks about three calls at once: killed right after its n-th commit, then taken up again.

Started as `consent_lives.py ROOT [STRIDE]`; prints one JSON line for each n, or each STRIDE-th, with how the run ended. The person changes one call,
denies another, and allows what is left with one press.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pipeline_lives import in_a_life_of_its_own, kill_after

from agent.domain.messages import InboundMessage, MessageKind
from agent.domain.plan import OnFailure
from agent.domain.states import FINAL
from agent.execution import gathering
from agent.execution.people import RUN_AGAIN, TREAT_AS_DONE
from agent.testing import Bot, step
from plugins.api import tool


def sending(home: Path) -> Any:
    @tool(effect="once")
    def send(to: str, text: str) -> str:
        """Send a message."""
        with (home / "log").open("a") as log:
            log.write(f"{to}\n")
        return f"{text} to {to}"

    return send


def sent(home: Path) -> list[str]:
    log = home / "log"
    return sorted(log.read_text().splitlines()) if log.exists() else []


async def live(home: Path) -> dict[str, Any]:
    """Be the person until the run has ended."""
    gathering.TOGETHER_SECONDS = 60.0
    async with Bot(home, [sending(home)], policy={"mode": "always"}) as bot:
        names = ("ada", "bob", "eve")
        bot.llm.will_plan(*(step(f"s{to}", "send", to=to, text="hi", on_failure=OnFailure.CONTINUE) for to in names))
        bot.llm.will_answer("Done.")
        store = bot.app.store
        await store.receive([InboundMessage("test", "start", bot.dest, user_id="1", text="write to all")])
        while True:
            for message in await store.unheard("test"):
                await bot.app.reception.hear(message)
            await bot.app.engine.idle()
            if (await bot.last_run()).status in FINAL:
                return await result(home, bot)
            await answer(home, bot)


async def answer(home: Path, bot: Bot) -> None:
    """Do the next thing that the person does."""
    question = await bot.question()
    if question is not None and question.kind == "recovery":
        doubtful = {"sada": "ada", "sbob": "bobby"}[question.step_id]
        said = TREAT_AS_DONE if doubtful in sent(home) else RUN_AGAIN
        await bot.presses(f"q/{question.id}/{question.options.index(said)}")
        return
    if question is not None:
        await bot.receives("bobby")
        return
    asked = await bot.app.store.approvals_of((await bot.last_run()).id)
    waits = {one.args["to"]: one for one in asked if one.decision is None}
    if "bob" in waits:
        await bot.presses(f"a/{waits['bob'].id}/e0")
    elif "eve" in waits:
        await bot.presses(f"a/{waits['eve'].id}/deny")
    elif waits:
        await press_all(bot, [one.id for one in waits.values()])


async def press_all(bot: Bot, waiting: list[str]) -> None:
    """Press the button about all of the message that holds what waits; it must show exactly that."""
    for message in await bot.shown(MessageKind.APPROVAL):
        still_open = [call["id"] for call in message.payload["calls"] if call.get("decided") is None]
        if still_open:
            assert sorted(still_open) == sorted(waiting), (still_open, waiting)
            await bot.presses(message.payload["buttons"][0][0]["action"])


async def result(home: Path, bot: Bot) -> dict[str, Any]:
    run = await bot.last_run()
    asked = await bot.app.store.approvals_of(run.id)
    (message,) = await bot.shown(MessageKind.APPROVAL)
    return {
        "runs": len(await bot.app.store.recent_runs(bot.dest.session_id)),
        "status": run.status,
        "sent": sent(home),
        "steps": {record.step.id: record.status for record in await bot.steps()},
        "decisions": sorted([one.args["to"], one.decision] for one in asked),
        "shown": [[call["details"]["to"], call.get("decided")] for call in message.payload["calls"]],
        "buttons": message.payload["buttons"],
        "edits": len(await bot.app.store.audit_entries(kind="edited")),
    }


def one(home: Path, commits: int) -> dict[str, Any]:
    """Return how the run ended that was killed after so many commits."""
    home.mkdir(parents=True)

    async def first() -> Any:
        kill_after(commits)
        return await live(home)

    ended = in_a_life_of_its_own(first, home / "end.json")
    killed = ended is None
    if killed:
        ended = in_a_life_of_its_own(lambda: live(home), home / "end.json")
    return {**ended, "killed": killed, "commits": commits}


def main() -> None:
    """Live until nothing is left to be killed."""
    commits, killed = 0, True
    stride = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    while killed:
        commits += stride
        end = one(Path(sys.argv[1]) / str(commits), commits)
        killed = end["killed"]
        print(json.dumps(end), flush=True)


if __name__ == "__main__":
    main()
