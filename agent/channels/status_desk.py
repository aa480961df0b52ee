"""/status: what is in use, what is going on, and what to do about what is missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from agent.domain.messages import Door, MessageKind, OutboundMessage
from agent.domain.states import Status
from agent.texts import mark, retell, say
from sandbox.api import SandboxError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.domain.messages import InboundMessage
    from agent.domain.run import Run
    from agent.store.protocol import Store
    from sandbox.api import Rung

COMMAND = "/status"
SHOWN, TITLE = 10, 60
WALLS = {
    "A": mark("bubblewrap"),
    "A-": mark("bubblewrap; memory is watched, not bounded by the kernel"),
    "B": mark("a sidecar"),
    "C": mark("Landlock and a system-call filter, no network"),
    "D": mark("sandbox-exec of macOS, no network; memory is not bounded"),
    "E": mark("nothing safe is available here"),
    "unsafe": mark("no walls at all, by the owner's choice"),
}
STATES = {
    Status.PENDING: mark("in the queue"),
    Status.READY: mark("in the queue"),
    Status.RUNNING: mark("at work"),
    Status.WAITING_APPROVAL: mark("waits for you"),
}


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the command asks. `about` says which model is in use; `pulses` are what channels say of themselves.

    `rung` raises SandboxError while a sidecar does not answer; `workers` says "" where this process works itself;
    `automation` has the names of `AutomationScheduler.status`.
    """

    about: str
    rung: Callable[[], Awaitable[Rung]]
    workers: Callable[[], Awaitable[str]]
    automation: Callable[[], Awaitable[dict[str, Any]]]
    pulses: list[Callable[[], str]] = field(default_factory=list)


class StatusDesk(Door):
    """The command. Owners are told of everything; others of their own requests in this chat."""

    commands = frozenset({COMMAND})

    def __init__(self, store: Store, sources: Sources) -> None:
        self._store = store
        self._sources = sources

    async def obey(self, message: InboundMessage) -> None:
        """Say what is going on."""
        lines = [*(await self._everything(message) if message.trusted else ()), *await self._here(message)]
        dest, key = message.dest, message.reply_key
        payload = {"text": "\n".join(line for line in lines if line)}
        await self._store.post(OutboundMessage(dest, MessageKind.NOTICE, key, payload, session_id=dest.session_id))

    # --- for owners ---------------------------------------------------------------------------------------------
    async def _everything(self, message: InboundMessage) -> list[str]:
        language, sources = message.dest.language, self._sources
        told = [sources.about, *(pulse() for pulse in sources.pulses), await sources.workers()]
        lines = [retell(language, line) for line in told]
        lines[1:1] = await self._walls(language)
        lines += [await self._automation(language), await self._all_chats(language)]
        if message.dest.chat_type == "private":  # what others ask is nothing for a group
            runs = [run for run in await self._store.unfinished_runs() if run.session_id != message.dest.session_id]
            lines += _listed(language, runs)
        return lines

    async def _walls(self, language: str) -> list[str]:
        """Say what the sandbox is, with the exact way to a better one."""
        try:
            rung = await self._sources.rung()
        except SandboxError as error:
            return [f"{say(language, 'Sandbox')}: ✗ {error}"]
        stance = say(language, WALLS[rung.name]) if rung.name in WALLS else rung.stance
        return [f"{say(language, 'Sandbox')} {rung.name}: {stance}", f"→ {rung.remedy}" if rung.remedy else ""]

    async def _automation(self, language: str) -> str:
        status = await self._sources.automation()
        if status["halted_since"] is not None:
            since = f"{datetime.fromtimestamp(status['halted_since'], UTC):%Y-%m-%d %H:%M} UTC"
            return say(language, "Automation: off since {since}; `dirigent schedules start` lets it go on", since=since)
        return say(
            language, "Automation: on; {n} of {all} triggers are on", n=status["enabled"], all=status["triggers"]
        )

    async def _all_chats(self, language: str) -> str:
        waiting = await self._store.backlog()
        asked = waiting.approvals + waiting.questions
        at_work = waiting.runs.get(Status.RUNNING.value, 0)
        text = "In all chats: {at_work} at work, {others} wait; {asked} questions to people are open"
        return say(language, text, at_work=at_work, others=sum(waiting.runs.values()) - at_work, asked=asked)

    # --- for everybody --------------------------------------------------------------------------------------------
    async def _here(self, message: InboundMessage) -> list[str]:
        language, session = message.dest.language, message.dest.session_id
        runs = await self._store.unfinished_runs(session)
        if not message.trusted:
            runs = [run for run in runs if run.user_id == message.user_id]
        lines = [say(language, "Open requests here: {n}", n=len(runs)), *_listed(language, runs)]
        if message.trusted:
            spent = await self._store.spent(session_id=session)
            tokens = int(spent["prompt_tokens"] + spent["completion_tokens"])
            lines.append(say(language, "Used here so far: {n} tokens", n=tokens))
        return lines


def _listed(language: str, runs: list[Run]) -> list[str]:
    lines = [f"- {(run.title or run.request)[:TITLE]}: {say(language, STATES[run.status])}" for run in runs[:SHOWN]]
    return [*lines, *([f"… +{len(runs) - SHOWN}"] if len(runs) > SHOWN else ())]
