"""A conversation in the terminal: what is typed is stored and heard, what the outbox holds is shown.

The journal says what is open and what is at rest, so a question that another process asked last week is shown and
answered here just the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from agent.channels.terminal.choices import Choice, choices_of, pick
from agent.channels.terminal.endings import Asked, Ending, status_of
from agent.channels.terminal.keyboard import Interrupted
from agent.channels.terminal.meanwhile import listening, pressed
from agent.channels.terminal.named_files import named_files, take_in
from agent.domain.messages import InboundMessage, MessageKind
from agent.domain.states import Status
from agent.errors import DirigentError
from agent.execution.together import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from agent.channels.base import Hearer
    from agent.channels.pacing import Rates
    from agent.channels.terminal.face import Face
    from agent.channels.terminal.keyboard import Keyboard
    from agent.domain.messages import Destination, OutboundMessage
    from agent.domain.run import Run
    from agent.store.protocol import Store

# Another process may do the work (its changes raise no event here), so the journal is looked at this often, in seconds,
# while a request is being worked on; never while the person thinks.
HEARTBEAT = 0.5
LEAVING = frozenset({"/quit", "/exit", "quit", "exit"})


@dataclass
class Terminal:
    """The channel. `workspace` is where the session's files lie, `here` where the person is.

    `incoming` receives copies of the files that a request names. `hearer` is set before anything is said.
    """

    store: Store
    face: Face
    keyboard: Keyboard
    dest: Destination
    workspace: Path
    incoming: Path
    here: Path
    user_id: str = "local"
    user_name: str = ""
    leave: Callable[[], object] = lambda: None
    _hearer: Hearer | None = None
    _stir: asyncio.Event = field(default_factory=asyncio.Event)
    _seen: dict[str, Asked] = field(default_factory=dict)
    _keys: dict[str, str] = field(default_factory=dict)
    _versions: dict[str, int] = field(default_factory=dict)
    _runs: set[int] = field(default_factory=set)
    _failed: bool = False
    _underway: bool = False
    _offers: tuple[Choice, ...] = ()
    _stopping: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        # Each terminal that is open at the same time is a channel of its own.
        self.name = self.dest.channel
        self.rates: Rates | None = None

    def attach(self, hearer: Hearer) -> None:
        """Say who hears what is typed."""
        self._hearer = hearer

    # --- the channel --------------------------------------------------------------------------------------------
    async def deliver(self, message: OutboundMessage) -> str:
        """Show a message; an edit shows what is new in it."""
        self._show(message)
        self._versions[message.key] = message.version
        if message.run_id is not None:
            self._runs.add(message.run_id)
        self._stir.set()
        return message.message_id or message.key

    def busy(self, dest: Destination, *, on: bool) -> None:  # noqa: ARG002 - there is one place here
        self.face.busy(on=on)

    async def serve(self) -> None:
        """Converse until the person leaves."""
        await self.converse()

    # --- conversations ------------------------------------------------------------------------------------------
    async def once(self, request: str, files: Sequence[Path] = ()) -> Ending:
        """Have one request carried out; return when it is answered, or waits for an answer that nobody gives."""
        for earlier in await self._open():
            if earlier.kind is MessageKind.QUESTION:
                self.face.notice(f"Your text answers the open question above ({earlier.id}).")
            else:
                self.face.notice("That still waits for your yes or no: `dirigent chat` asks for it.")
        await self.say(request, files)
        asked = await self._rest()
        while asked is not None and self.keyboard.can_answer and await self._answer(asked):
            asked = await self._rest()
        return await self._ending()

    async def follow(self, run_id: int) -> Ending:
        """Show a run that was opened elsewhere and take the answers it asks for; return how it came to rest."""
        self._underway = True
        self._runs.add(run_id)
        asked = await self._rest()
        while asked is not None and self.keyboard.can_answer and await self._answer(asked):
            asked = await self._rest()
        return await self._ending()

    async def converse(self) -> Ending:
        """Take lines until there are no more; return how the last request came to rest, or the first that failed."""
        endings: list[Ending] = []
        going = True
        while going:
            asked, going = await self._rest_and_listen()
            if asked is None and self._underway and going:
                endings.append(await self._ending())
            if going:
                going = await self._answer(asked) if asked else await self._next()
        if asked is not None:
            self.face.notice("The question stays open: `dirigent chat` shows it again.")
            endings.append(await self._ending())
        failed = [ending for ending in endings if ending.status in {"failed", "cancelled"}]
        return [*failed, *endings[-1:], Ending("completed")][0]

    async def say(self, text: str, files: Sequence[Path] = (), *, reply_to: str = "") -> None:
        """Store what was typed, with the files that it names, and have it heard."""
        self._underway = True
        update = uuid.uuid4().hex
        named = [file for file in named_files(text, self.here) if file not in files]
        taken = await asyncio.to_thread(take_in, [*files, *named], self.incoming / update)
        if taken:
            self.face.notice("Attached: " + ", ".join(file.name for file in taken))
        message = replace(self._message(update), text=text, attachments=taken, reply_to=reply_to)
        for stored in await self.store.receive([message]):
            await self._have_heard(stored)

    async def take_up(self) -> None:
        """Have heard what an earlier process stored and did not come to."""
        for message in await self.store.unheard(self.name):
            await self._have_heard(message)

    async def _have_heard(self, message: InboundMessage) -> None:
        """Hand a stored message over; the copies of its files are in the session's workspace afterwards."""
        try:
            await self._hearing.hear(message)
        except DirigentError as error:
            self._failed = True
            self.face.error({"text": error.message, "hint": error.hint})
            await self.store.heard(message.id)
        self._runs |= {run.id for run in await self.store.recent_runs(self._session) if run.inbox_id == message.id}
        await asyncio.to_thread(shutil.rmtree, self.incoming / message.update_id, ignore_errors=True)

    def interrupt(self) -> None:
        """Ctrl-C: stop what is running; the second time leave."""
        if self._stopping is not None:
            self.leave()
            return
        self.face.notice("Stopping … (Ctrl-C again leaves)")
        self._stopping = asyncio.get_running_loop().create_task(self._stop())

    async def close(self) -> None:
        """End what is under way here and leave the screen as it should stay."""
        if self._stopping is not None:
            self._stopping.cancel()
            await asyncio.gather(self._stopping, return_exceptions=True)
        self.face.close()

    # --- what is shown ------------------------------------------------------------------------------------------
    def _show(self, message: OutboundMessage) -> None:
        payload, kind = message.payload, message.kind
        if kind is MessageKind.PLAN:
            self.face.plan(payload)
        elif kind in {MessageKind.QUESTION, MessageKind.APPROVAL}:
            self._show_asked(message)
        elif kind is MessageKind.ANSWER:
            self.face.answer(str(payload.get("text", "")), final=bool(payload.get("final", True)))
        elif kind is MessageKind.FILES:
            paths = [str(self.workspace / path) for path in payload.get("paths", ())]
            self.face.files(paths, str(payload.get("caption") or ""))
        elif kind is MessageKind.ERROR:
            self._failed = True
            self.face.error(payload)
        else:
            self.face.notice(str(payload.get("text", "")))
        if kind in {MessageKind.ANSWER, MessageKind.NOTICE, MessageKind.ERROR} and payload.get("final", True):
            self._offer(payload)

    def _show_asked(self, message: OutboundMessage) -> None:
        """Show a question once, and calls again when others of them are to be decided; the person knows the rest."""
        payload = message.payload
        state = _state(payload)
        over = {"answered", "decided"} & payload.keys() or (payload.get("calls") and not payload.get("open"))
        if state in self._seen or over:
            return
        choices = choices_of(payload)
        asked_id = str(payload.get("id", message.key))
        self._seen[state] = Asked(asked_id, message.kind, message.message_id or message.key, choices)
        self._keys |= dict.fromkeys([asked_id, *(call["id"] for call in payload.get("calls") or ())], message.key)
        if message.run_id is not None:
            self._runs.add(message.run_id)
        show = self.face.question if message.kind is MessageKind.QUESTION else self.face.approval
        show(payload, [(choice.key, choice.label) for choice in choices])

    def _offer(self, payload: dict[str, Any]) -> None:
        """Show a message's buttons as `/1`, `/2`, …: what can be done next."""
        self._offers = tuple(replace(choice, key=f"/{n}") for n, choice in enumerate(choices_of(payload), start=1))
        if self._offers and self.keyboard.can_answer:
            self.face.offers([(choice.key, choice.label) for choice in self._offers])

    # --- what is typed ------------------------------------------------------------------------------------------
    async def _next(self) -> bool:
        """Take the next line; False when the person leaves."""
        try:
            with self.face.prompting():
                line = await self.keyboard.ask("› ")
        except Interrupted:
            return False
        return line is not None and await self._line(line)

    async def _line(self, line: str) -> bool:
        """Act on a line that answers nothing; False when the person leaves."""
        if line.strip().lower() in LEAVING:
            return False
        offered = next((choice for choice in self._offers if choice.key == line.strip()), None)
        action, plan = await pressed(self.store, self._session, line.strip())
        if offered is not None or action:
            await self._press(offered.action if offered is not None else action)
        elif plan:
            await self.say(line.strip().partition(" ")[2], reply_to=plan)
        elif open_now := await self._open():
            await self._take(open_now[0], line)  # it was asked while the person typed
        elif line.strip():
            await self.say(line)
        return True

    async def _answer(self, asked: Asked) -> bool:
        """Ask the person; False when nobody answered: the question stays open."""
        try:
            with self.face.prompting():
                line = await self.keyboard.ask("answer › " if asked.kind is MessageKind.QUESTION else "allow? › ")
        except Interrupted:
            self.interrupt()
            await self._stopped()
            return True
        if line is None:
            return False
        await self._take(asked, line)
        return True

    async def _take(self, asked: Asked, line: str) -> None:
        """Act on an answer: a key or a label presses the button, other text answers a question in words."""
        text = line.strip()
        choice = pick(asked.choices, text)
        if choice is not None:
            await self._press(choice.action)
        elif asked.kind is MessageKind.APPROVAL:
            keys = ", ".join(choice.key for choice in asked.choices)
            self.face.notice(f"Please type one of: {keys}")
        elif text:
            await self.say(text, reply_to=asked.message_id)

    async def _press(self, action: str) -> None:
        self._underway = True
        said = await self._hearing.press(replace(self._message(uuid.uuid4().hex), action=action))
        if said:
            self.face.notice(said)

    async def _stop(self) -> None:
        for stored in await self.store.receive([replace(self._message(uuid.uuid4().hex), text="/stop")]):
            await self._have_heard(stored)
        self._stir.set()

    async def _stopped(self) -> None:
        """Wait for a stop that was asked for; the next Ctrl-C stops again."""
        if self._stopping is not None:
            stopping = self._stopping
            await stopping
            self._stopping = None

    # --- what the journal says ----------------------------------------------------------------------------------
    async def _rest(self) -> Asked | None:
        """Wait until there is something to answer, or nothing is being worked on any more."""
        while True:
            self._stir.clear()
            asked = next(iter(await self._open()), None)
            if asked is not None and self.keyboard.can_answer:
                return asked
            if await self._quiet():
                await self._stopped()
                return next(iter(await self._open()), None)  # what was asked a moment ago is shown by now
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stir.wait(), HEARTBEAT)

    async def _rest_and_listen(self) -> tuple[Asked | None, bool]:
        """Do as `_rest`, and act on what a person types meanwhile; False when they leave."""
        if not self.keyboard.meanwhile:
            return await self._rest(), True
        return await listening(self._rest(), self.keyboard, self.face, self._line, self.interrupt)

    async def _open(self) -> list[Asked]:
        """Return what is open and was shown, oldest first; what was shown elsewhere is shown here first."""
        states = [_state({"id": question.id}) for question in await self.store.open_questions(self._session)]
        for run in await self.store.unfinished_runs(self._session):
            for each in await self.store.approvals_of(run.id):
                if each.decision is None:
                    shown = await self.store.get_message(self._keys.get(each.id, key_of(each.id)))
                    states.append(_state(shown.payload if shown is not None else {"id": each.id}))
        if unseen := set(states) - self._seen.keys():
            await self._show_again(unseen)
        return [self._seen[each] for each in states if each in self._seen]

    async def _show_again(self, states: set[str]) -> None:
        for message in reversed(await self.store.messages_of(self._session)):
            if _state(message.payload) in states and message.sent_version >= message.version:
                self._show_asked(message)

    async def _quiet(self) -> bool:
        """Return whether no run is being worked on, nothing is unheard, and everything was shown."""
        for run in await self.store.unfinished_runs(self._session):
            if run.status is not Status.WAITING_APPROVAL or not await self._asks(run):
                return False
        due = await self.store.due_messages(self.name)
        mine = [m for m in due if m.dest.session_id == self._session and self._versions.get(m.key) != m.version]
        return not mine and not await self.store.unheard(self.name)

    async def _asks(self, run: Run) -> bool:
        """Return whether a run waits for a person; one that was just answered still says so for a moment."""
        asking = {question.run_id for question in await self.store.open_questions(self._session)}
        return run.id in asking or any(each.decision is None for each in await self.store.approvals_of(run.id))

    async def _ending(self) -> Ending:
        """Say how the request came to rest, to the face and to the caller."""
        runs = [await self.store.get_run(run_id) for run_id in sorted(self._runs)]
        ending = Ending(status_of(runs, failed=self._failed))
        self.face.ended(ending.status, runs[-1].ref if runs else "")
        if ending.status != "waiting":
            self._runs.clear()
        self._underway = self._failed = False
        return ending

    # --- small things -------------------------------------------------------------------------------------------
    @property
    def _session(self) -> str:
        return self.dest.session_id

    @property
    def _hearing(self) -> Hearer:
        assert self._hearer is not None, "attach() comes first"
        return self._hearer

    def _message(self, update: str) -> InboundMessage:
        return InboundMessage(
            channel=self.name,
            update_id=update,
            dest=self.dest,
            user_id=self.user_id,
            user_name=self.user_name,
            message_id=update,
            language=(os.environ.get("LC_ALL") or os.environ.get("LANG") or "en")[:2].lower().replace("c.", "en"),
            received_at=time.time(),
        )


def _state(payload: Mapping[str, Any]) -> str:
    """Return what tells one request for an answer from another, also when it is the same message a moment later."""
    return "|".join(str(payload.get(name) or "") for name in ("id", "set", "each", "page", "editing"))
