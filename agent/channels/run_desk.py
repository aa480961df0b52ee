"""The buttons of runs, `r/<ref>/<verb>`, and messages that are meant for a run that is being worked on.

A message that comes while a run works begins a run of its own, which waits for its turn, and one button turns it into a
wish about the plan instead. So nothing waits but in the journal, and nothing is lost when the run ends meanwhile.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import TYPE_CHECKING, Any, Literal

from agent.domain.messages import MessageKind, OutboundMessage
from agent.domain.run import Origin
from agent.domain.states import FINAL, Status
from agent.execution.people import answerer
from agent.texts import mark, say

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.domain.messages import InboundMessage
    from agent.domain.run import Run
    from agent.orchestrator import OrchestratorRunner
    from agent.store.protocol import Store

WhileRunning = Literal["ask", "steer", "queue"]

TOO_LATE = "Too late: this has been settled already."
NOT_YOURS = "Only the person who asked may do that."
ENDED = "It has ended already."
NUMBERS = re.compile(r"\d+")  # a message of several parts has their ids in one text
LATER = mark("I'm still at “{title}”; this comes next.")
NOTHING_LEFT = mark("Nothing of it is left to remove.")
SHOWN_FILES = 30
MOST_MODELS = 10
USED = mark("Used in what I was doing.")


class RunDesk:
    """Takes presses and messages about runs. `begin` opens a run for a message, as for any other.

    `while_running` says what becomes of a message while a run works: `ask`, `steer` or `queue`.
    """

    commands: frozenset[str] = frozenset()
    actions = frozenset({"r"})

    def __init__(
        self,
        orchestrator: OrchestratorRunner,
        store: Store,
        begin: Callable[[InboundMessage], Awaitable[Run]],
        while_running: WhileRunning = "ask",
        models: Callable[[], Awaitable[tuple[str, ...]]] | None = None,
    ) -> None:
        self._models = models
        self._orchestrator = orchestrator
        self._store = store
        self._begin = begin
        self._while_running = while_running
        self._one_at_a_time = asyncio.Lock()
        self._verbs: dict[str, Callable[[Run, InboundMessage], Awaitable[str]]] = {
            "change": self._change,
            "details": self._details,
            "less": self._less,
            "use": self._use,
            "later": self._later,
            "resume": self._resume,
            "retry": self._resume,
            "discard": self._discard,
            "remove": self._remove,
            "keep": self._keep,
            "redo": self._redo,
            "more": self._more,
            "models": self._ask_for_model,
            "model": self._with_model,
        }

    async def obey(self, message: InboundMessage) -> None:
        """There are no commands here."""

    # --- messages -----------------------------------------------------------------------------------------------
    async def wish(self, message: InboundMessage) -> bool:
        """Take a message that is meant for a run at work: a reply to its plan, or any, as the setting says."""
        if not message.text.strip() or message.attachments:
            return False
        running = await self._store.unfinished_runs(message.dest.session_id)
        replied = await self._replied_to(message, running)
        if replied is not None:
            return await self._steer(replied, message, message.id)
        busy = await self._at_work(running, message)
        if busy is None or self._while_running == "queue":
            return False
        if self._while_running == "steer":
            return await self._steer(busy, message, message.id)
        queued = await self._begin(message)
        await self._offer(busy, queued, message)
        return True

    async def _replied_to(self, message: InboundMessage, running: list[Run]) -> Run | None:
        """Return the run whose plan a message replies to, where the person may change it."""
        for run in running if message.reply_to else ():
            shown = await self._store.get_message(f"run:{run.id}:plan")
            ids = {shown.message_id, *NUMBERS.findall(shown.message_id)} if shown is not None else set()
            if message.reply_to in ids and _may(run, message):
                return run
        return None

    async def _at_work(self, running: list[Run], message: InboundMessage) -> Run | None:
        for run in running:
            if await self._shows_work(run, message):
                return run
        return None

    async def _shows_work(self, run: Run, message: InboundMessage) -> bool:
        """Say whether a run is at work on a plan that this person has asked for and sees."""
        if run.status is not Status.RUNNING or run.origin not in {Origin.MESSAGE, Origin.COMMAND}:
            return False
        return _may(run, message) and await self._store.get_message(f"run:{run.id}:plan") is not None

    async def _steer(self, run: Run, message: InboundMessage, inbox_id: int) -> bool:
        by = answerer(message.user_id, trusted=message.trusted)
        return await self._orchestrator.steer(run, message.text.strip(), message.user_id, by, inbox_id=inbox_id)

    async def _offer(self, busy: Run, queued: Run, message: InboundMessage) -> None:
        self._orchestrator.offered.add(queued.id)
        title = (busy.title or busy.request)[:60]
        buttons = [
            [
                {"label": mark("Use it in what I'm doing"), "action": f"r/{queued.ref}/use"},
                {"label": mark("Do it afterwards"), "action": f"r/{queued.ref}/later"},
            ]
        ]
        payload = {"text": say(message.dest.language, LATER, title=title), "buttons": buttons}
        await self._store.post(
            OutboundMessage(
                queued.dest,
                MessageKind.NOTICE,
                _offer_key(queued),
                payload,
                session_id=queued.session_id,
                run_id=queued.id,
            )
        )

    # --- presses ------------------------------------------------------------------------------------------------
    async def press(self, message: InboundMessage) -> str:
        """Act on `r/<ref>/<verb>`."""
        _, ref, verb, *_ = [*message.action.split("/"), "", ""]
        run = await self._store.find_run(ref)
        if run is None or run.session_id != message.dest.session_id or verb not in self._verbs:
            return TOO_LATE
        if not _may(run, message):
            return NOT_YOURS
        async with self._one_at_a_time:
            return await self._verbs[verb](run, message)

    async def _change(self, run: Run, message: InboundMessage) -> str:
        if run.status in FINAL:
            return ENDED
        question = await self._orchestrator.ask_for_change(run, message.user_id)
        return question.text

    async def _details(self, run: Run, message: InboundMessage) -> str:  # noqa: ARG002 - each verb has both
        await self._orchestrator.show_details(run, details=True)
        return ""

    async def _less(self, run: Run, message: InboundMessage) -> str:  # noqa: ARG002
        await self._orchestrator.show_details(run, details=False)
        return ""

    async def _use(self, queued: Run, message: InboundMessage) -> str:
        """Turn a request that waits into a wish about the plan that is being carried out."""
        running = await self._store.unfinished_runs(message.dest.session_id)
        busy = await self._at_work([run for run in running if run.id != queued.id], message)
        if busy is None or queued.status is not Status.PENDING:
            await self._settle_offer(queued, "")
            return say(message.dest.language, TOO_LATE)
        by = answerer(message.user_id, trusted=message.trusted)
        taken = await self._orchestrator.steer(busy, queued.request, message.user_id, by, inbox_id=queued.inbox_id or 0)
        if not taken:
            return say(message.dest.language, TOO_LATE)
        await self._orchestrator.withdraw_run(queued)
        await self._settle_offer(queued, USED)
        return say(message.dest.language, USED)

    async def _later(self, queued: Run, message: InboundMessage) -> str:
        await self._settle_offer(queued, "")
        return say(message.dest.language, mark("It comes next."))

    # --- after the end ------------------------------------------------------------------------------------------
    async def _resume(self, run: Run, message: InboundMessage) -> str:
        if run.status not in FINAL:
            return say(message.dest.language, TOO_LATE)
        opened = await self._orchestrator.go_on(run, message.id or None)
        return say(message.dest.language, TOO_LATE if opened is None else mark("Going on with it."))

    async def _redo(self, run: Run, message: InboundMessage) -> str:
        await self._orchestrator.do_again(run, message.id or None)
        return say(message.dest.language, mark("Doing it anew."))

    async def _more(self, run: Run, message: InboundMessage) -> str:
        language = message.dest.language
        await self._orchestrator.do_again(run, message.id or None, say(language, mark("More detail, please.")))
        return say(language, mark("Going on with it."))

    async def _discard(self, run: Run, message: InboundMessage) -> str:
        """Show which files would be removed, and ask."""
        language = message.dest.language
        files = await self._orchestrator.files_of(run) if run.status in FINAL else []
        if not files:
            return say(language, NOTHING_LEFT)
        buttons = [
            [
                {"label": mark("🗑 Remove them"), "action": f"r/{run.ref}/remove"},
                {"label": mark("Keep them"), "action": f"r/{run.ref}/keep"},
            ]
        ]
        await self._say(run, "discard", say(language, mark("Files to remove: {files}"), files=_names(files)), buttons)
        return ""

    async def _remove(self, run: Run, message: InboundMessage) -> str:
        language = message.dest.language
        files = await self._orchestrator.discard(run) if run.status in FINAL else []
        said = say(language, mark("Removed: {files}"), files=_names(files)) if files else say(language, NOTHING_LEFT)
        await self._say(run, "discard", said)
        return said

    async def _keep(self, run: Run, message: InboundMessage) -> str:
        said = say(message.dest.language, mark("Kept."))
        await self._say(run, "discard", said)
        return said

    async def _ask_for_model(self, run: Run, message: InboundMessage) -> str:
        language = message.dest.language
        names = await self._models() if self._models is not None else ()
        if len(names) < 2:
            return say(language, mark("The server has no other model."))
        rows = [[{"label": name, "action": f"r/{run.ref}/model/{digest(name)}"}] for name in names[:MOST_MODELS]]
        await self._say(run, "models", say(language, mark("Which model?")), rows)
        return ""

    async def _with_model(self, run: Run, message: InboundMessage) -> str:
        """Go on with another model, which the chat keeps (/settings shows it)."""
        language = message.dest.language
        wanted = message.action.rpartition("/")[2]
        names = await self._models() if self._models is not None else ()
        name = next((one for one in names if digest(one) == wanted), "")
        if not name:
            return say(language, "This choice is no longer known.")
        if not message.trusted:
            return say(language, NOT_YOURS)
        session = await self._orchestrator.sessions.open(run.session_id)
        await self._orchestrator.sessions.change(session, model=name)
        await self._say(run, "models", name)
        return await self._resume(run, message)

    async def _say(self, run: Run, about: str, text: str, buttons: list[list[dict[str, str]]] | None = None) -> None:
        payload: dict[str, Any] = {"text": text, **({"buttons": buttons} if buttons else {})}
        key = f"run:{run.id}:{about}"
        await self._store.post(
            OutboundMessage(run.dest, MessageKind.NOTICE, key, payload, session_id=run.session_id, run_id=run.id)
        )

    async def _settle_offer(self, queued: Run, text: str) -> None:
        """Take the buttons of an offer away, and say what came of it."""
        shown = await self._store.get_message(_offer_key(queued))
        if shown is not None:
            said = say(queued.dest.language, text) if text else shown.payload["text"]
            await self._store.post(OutboundMessage(shown.dest, shown.kind, shown.key, {"text": said}))


def _may(run: Run, message: InboundMessage) -> bool:
    """Say whether a person may act on a run: an owner on every one, others on what they have asked for."""
    return message.trusted or run.user_id == message.user_id


def _names(files: list[str]) -> str:
    """Return files as a sentence names them."""
    more = f" +{len(files) - SHOWN_FILES}" if len(files) > SHOWN_FILES else ""
    return ", ".join(files[:SHOWN_FILES]) + more


def digest(name: str) -> str:
    """Return a short name for a model's, which may be longer than a button bears."""
    return hashlib.sha256(name.encode()).hexdigest()[:10]


def _offer_key(queued: Run) -> str:
    return f"run:{queued.id}:queued"
