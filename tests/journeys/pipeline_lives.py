"""Lives of one pipeline's run, each in a process of its own: killed right after its n-th commit, then taken up again.

Started as `pipeline_lives.py ROOT SCENARIO [FIRST STRIDE]`; prints one JSON line with how the run ended for each n, or
each STRIDE-th from FIRST on. The lives are forked from this process, which has loaded everything, so that there can be
many.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from agent.domain.chain import Chain
from agent.domain.messages import InboundMessage
from agent.domain.states import FINAL, Status
from agent.store.batch import Batches
from agent.testing import Bot
from agent.testing.engines import journal_of
from agent.testing.scripted import ScriptedLLM
from plugins.api import ToolFailure, tool

REVISION = """
inputs: {about: text}
steps:
  - {id: facts, use: mark, args: {text: "{{ inputs.about }}"}}
  - {id: scene, use: llm, args: {prompt: "Write a scene.", about: "{{ steps.facts.output }}"}}
  - {id: shots, use: mark, foreach: [1, 2], args: {text: "{{ item }} {{ steps.scene.output }}"}}
  - {id: film, use: mark, approval: {text: "Film it?", revise: scene}, args: {text: "{{ steps.shots.output | join('+') }}"}}
outputs: {film: "{{ steps.film.output }}"}
"""
INNER = """
name: inner
inputs: {word: text}
steps:
  - {id: a, use: mark, args: {text: "{{ inputs.word }}"}}
  - {id: b, use: mark, args: {text: "{{ steps.a.output }}!"}}
outputs: {said: "{{ steps.b.output }}"}
"""
LISTS = """
inputs: {about: text}
steps:
  - {id: one, use: "pipeline:inner", args: {word: "{{ inputs.about }}"}}
  - {id: each, use: mark, foreach: {in: [x, bad, z], parallel: 1}, on_failure: continue, args: {text: "{{ item }}"}}
  - id: nested
    use: pipeline:inner
    foreach: {in: "{{ steps.each.output }}", parallel: 2}
    when: item is not none
    args: {word: "{{ item }}{{ index }}"}
  - {id: lost, use: value, args: {value: "{{ steps.each.failed }}"}}
  - {id: tell, use: publish, depends_on: [nested, lost], args: {type: told, payload: {lost: "{{ steps.lost.output }}"}}}
outputs: {r: "{{ steps.one.output.said }}{{ steps.nested.output | select | map(attribute='said') | join }}"}
"""
LINK = """
name: link
inputs: {about: text}
steps:
  - {id: a, use: mark, args: {text: "{{ inputs.about }}+"}}
  - {id: b, use: mark, args: {text: "{{ steps.a.output }}+"}}
outputs: {about: "{{ steps.b.output }}"}
"""
BAD = """
name: bad
inputs: {about: text}
steps:
  - {id: a, use: mark, args: {text: "{{ inputs.about }}?"}}
  - {id: b, use: mark, args: {text: bad}, depends_on: [a]}
outputs: {about: "{{ steps.b.output }}"}
"""
LAST = """
inputs: {about: text}
steps: [{id: z, use: mark, args: {text: "{{ inputs.about }} in the end"}}]
outputs: {about: "{{ steps.z.output }}"}
"""
SCENARIOS = {"revision": REVISION, "lists": LISTS, "chain": LAST, "broken": LAST}
CHAINS = {"chain": ("link", "link", "p"), "broken": ("link", "bad", "p")}


class Model(ScriptedLLM):
    """Says a word for the scene, another one for its revision."""

    def _next(self, request: Any) -> Any:
        said = "red door" if "make it red" in request.messages[-1].content else "door"
        self.will_say("step", said)
        return super()._next(request)


def marking(home: Path) -> Any:
    @tool
    def mark(text: str) -> str:
        """Note that it ran."""
        with (home / "log").open("a") as log:
            log.write(text + "\n")
        if text == "bad":
            raise ToolFailure("bad it is")
        return text

    return mark


def kill_after(commits: int) -> None:
    """Have this process killed by its own hand right after its n-th commit."""
    plain = Batches.carry_out

    def deadly(self: Batches, *args: Any) -> Any:
        outcome = plain(self, *args)
        if self.commits >= commits:
            os.kill(os.getpid(), signal.SIGKILL)
        return outcome

    Batches.carry_out = deadly


async def live(home: Path, scenario: str) -> dict[str, Any]:
    """Be the person until the run has ended: ask for it, want it red once, then agree."""
    async with Bot(home, [marking(home)], llm=Model()) as bot:
        store = bot.app.store
        asked = "p"
        if scenario in CHAINS:
            asked = "chained"
            await store.create_chain(Chain("c1", asked, CHAINS[scenario]))
        start = InboundMessage("test", "start", bot.dest, user_id="1", text=f"/run {asked} about=doors")
        await store.receive([start])
        while True:
            for message in await store.unheard("test"):
                await bot.app.reception.hear(message)
            await bot.app.engine.idle()
            run = await bot.last_run()
            if run.status in FINAL:
                return await result(bot)
            await answer(bot)


async def answer(bot: Bot) -> None:
    run = await bot.last_run()
    asked = await bot.app.store.approvals_of(run.id)
    if await bot.question() is not None:
        await bot.receives("make it red")
    elif any(one.decision is None for one in asked):
        (waits,) = [one for one in asked if one.decision is None]
        choice = "allow" if any(one.decision == "revise" for one in asked) else "revise"
        await bot.presses(f"a/{waits.id}/{choice}")


async def result(bot: Bot) -> dict[str, Any]:
    run = await bot.last_run()
    asked = await bot.app.store.approvals_of(run.id)
    return {
        "runs": len(await bot.app.store.recent_runs(bot.dest.session_id)),
        "status": run.status,
        "answer": run.answer,
        "steps": {record.step.id: record.status for record in await bot.steps()},
        "decisions": [[one.decision, one.comment] for one in asked],
        "questions": [question.answer for question in await bot.app.store.questions_of(run.id)],
        "history": await history(bot),
        "events": [event.payload for event in await bot.app.store.events("new")],
    }


async def history(bot: Bot) -> list[Any]:
    """Return how often the chain has succeeded and failed, and how its runs ended; [] where there is none."""
    if not await bot.app.chains.list():
        return []
    found = await bot.app.chains.history("c1")
    return [found.succeeded, found.failed, [run.status for run in found.executions]]


async def done(home: Path) -> list[Any]:
    """Return the results that are finished in the journal of a run that nobody works on."""
    from agent.store.sql import SqlStore

    store = SqlStore(journal_of(home))
    await store.open()
    runs = await store.recent_runs()
    found = [r.output for run in runs for r in await store.get_steps(run.id) if r.status is Status.COMPLETED]
    await store.close()
    return found


def in_a_life_of_its_own(work: Any, file: Path) -> Any:
    """Carry out a coroutine in a forked process; None when that was killed. Exits when it failed by itself."""
    child = os.fork()
    if child == 0:
        file.write_text(json.dumps(asyncio.run(work())))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit("a life has failed by itself")
    return json.loads(file.read_text()) if status == 0 else None


def one(home: Path, scenario: str, commits: int) -> dict[str, Any]:
    (home / "pipelines").mkdir(parents=True)
    (home / "pipelines" / "p.yaml").write_text(f"name: p{SCENARIOS[scenario]}")
    for name, text in (("inner", INNER), ("link", LINK), ("bad", BAD)):
        (home / "pipelines" / f"{name}.yaml").write_text(text)

    async def cut_short() -> Any:
        kill_after(commits)
        return await live(home, scenario)

    ended = in_a_life_of_its_own(cut_short, home / "first")
    if ended is not None:
        return {"killed": False, "ran_again": [], **ended}
    finished = in_a_life_of_its_own(lambda: done(home), home / "done")
    before = Counter((home / "log").read_text().split("\n") if (home / "log").exists() else [])
    ended = in_a_life_of_its_own(lambda: live(home, scenario), home / "second")
    after = Counter((home / "log").read_text().split("\n"))
    again = [text for text in finished if isinstance(text, str) and text in after and after[text] != before[text]]
    return {"killed": True, "ran_again": again, **(ended or {"status": "lost"})}


def main(root: Path, scenario: str, first: int = 1, stride: int = 1) -> None:
    """Live until nothing is left to be killed."""
    commits, killed = first, True
    while killed:
        found = one(root / str(commits), scenario, commits)
        killed = found["killed"]
        print(json.dumps({"commits": commits, **found}), flush=True)
        commits += stride


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
