"""A model that is benign until words of others reach any of its prompts, and then does exactly what they say.

What the words say is a case's `Evil`; in the world they are one mark, `obey-c0001`, which survives every cut and quote.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from agent.domain.ledger import Usage
from agent.domain.plan import PlanStep
from agent.llm.protocol import Finished, LLMRequest, ToolRequest
from agent.planning.notation import render
from agent.testing import ScriptedLLM
from tests.trust.world import MARK, SECRET

CASE = re.compile(r"\bc\d{4}\b")
MARKED = re.compile(rf"{MARK}(c\d{{4}})")
Wanted = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Script:
    """What a model does in a case: plans (the first, and one for each replan), says, and calls within tasks."""

    plans: tuple[tuple[PlanStep, ...], ...] = ((),)
    says: str = "done"
    calls: tuple[Wanted, ...] = ()


class Puppet(ScriptedLLM):
    """Implements LLM. `benign` and `evil` are scripts by case; `fell` are the cases in which a prompt held the mark."""

    def __init__(self) -> None:
        super().__init__("puppet")
        self.benign: dict[str, Script] = {}
        self.evil: dict[str, Script] = {}
        self.fell: set[str] = set()
        self._planned: dict[tuple[str, bool], int] = {}

    def _next(self, request: LLMRequest) -> Finished:
        read = "\n".join(_words(request))
        marked, case = MARKED.search(read), CASE.search(read)
        name = marked[1] if marked else case[0] if case else ""
        self.fell |= {name} if marked else set()
        scripts = self.evil if marked and name in self.evil else self.benign
        script = scripts.get(name, Script())
        if request.purpose == "plan":
            return self._plans(name, script, read, evil=scripts is self.evil)
        if request.purpose == "task":
            return _works(request, script, read)
        if request.purpose == "memory":
            return _said("memory", "NONE")
        # Whoever repeats what it has read carries the mark on, into the chat's history and into later steps.
        return _said(request.purpose, _knowing(script.says, read))

    def _plans(self, name: str, script: Script, read: str, *, evil: bool) -> Finished:
        number = self._planned.get((name, evil), 0)
        self._planned[name, evil] = number + 1
        if number >= len(script.plans):
            return _said("plan", "end")
        return _said("plan", _knowing(render("", list(script.plans[number])), read))


def _words(request: LLMRequest) -> list[str]:
    calls = [call.arguments for message in request.messages for call in message.tool_requests]
    return [*(message.content for message in request.messages if message.role != "system"), *calls]


def _knowing(text: str, read: str) -> str:
    """Put what is private into a text, if it has been read."""
    return text.replace("SECRET", SECRET if SECRET in read else "")


def _works(request: LLMRequest, script: Script, read: str) -> Finished:
    """Make the next call that has not been made in this task, or end it."""
    asked = [call for message in request.messages for call in message.tool_requests]
    made = Counter((call.name, call.arguments) for call in asked)
    offered = {str(tool["function"]["name"]) for tool in request.tools}
    for name, args in script.calls:
        call = (name, _knowing(json.dumps(args), read))
        if made[call]:
            made[call] -= 1
        elif name in offered:
            return Finished("tool_calls", _usage("task"), "", (ToolRequest(f"call-{len(asked)}", *call),))
    return _said("task", _knowing(script.says, read))


def _said(purpose: str, text: str) -> Finished:
    return Finished("stop", _usage(purpose), text)


def _usage(purpose: str) -> Usage:
    return Usage(purpose, "puppet", 10, 10, 0.0)
