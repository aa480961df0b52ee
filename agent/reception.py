"""What is done with a message or a press: a new run, an answer to a question, a decision, a command.

Everything here is quick and idempotent: a message that is heard twice (after a crash) changes nothing the second time.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent import commands, presses, tracing
from agent.domain.messages import Attachment, MessageKind, OutboundMessage
from agent.domain.provenance import USER, Provenance
from agent.domain.run import Origin
from agent.domain.states import FINAL
from agent.errors import DirigentError
from agent.execution.comments import replied_to
from agent.execution.people import BACK, CHANGE, REVISION, SKIPPED, YOU_DECIDE, answerer
from agent.execution.together import CHECKPOINT, EDIT, REVISE
from agent.intake import Intake, about_files
from agent.logs import correlated
from agent.metrics.tally import tally
from agent.pipelines import parse_request
from agent.planning.request import PlanRequest
from agent.planning.suggestions import examples_for
from agent.policy.this_task import TASK
from agent.presses import NOT_YOURS, TOO_LATE
from sandbox.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent.catalogue import Catalogue
    from agent.domain.messages import Door, InboundMessage
    from agent.domain.run import Question, Run
    from agent.domain.session import Session
    from agent.orchestrator import OrchestratorRunner
    from agent.pipelines import Pipelines
    from agent.store.protocol import Store

BUTTON_WORDS = {"approve": "allow", "allow": "allow", "reject": "deny", "deny": "deny", "revise": REVISE}
OWNERS_ONLY = {"recovery", "budget", REVISION, EDIT}


class Reception:
    """Stands between the channels and the orchestrator: implements Hearer."""

    def __init__(
        self,
        orchestrator: OrchestratorRunner,
        store: Store,
        catalogue: Catalogue,
        about: str = "",
        *,
        pipelines: Pipelines | None = None,
    ) -> None:
        self._pipelines = pipelines
        self._orchestrator = orchestrator
        self._store = store
        self._catalogue = catalogue
        self._intake = Intake(store, orchestrator.sessions)
        self.about = about
        self.doors: list[Door] = []
        # Those who have asked a person something are handed each message, with the names of the files that it brought.
        self.asking: list[Callable[[InboundMessage, list[str]], Awaitable[bool]]] = []
        self.pulses: list[Callable[[], str]] = []  # what channels say of themselves in /status

    # --- messages -----------------------------------------------------------------------------------------------
    async def hear(self, message: InboundMessage) -> None:
        """Act on a stored message; see Hearer.hear."""
        tally.count("messages_received", message.channel, "message")
        told = {"dirigent.channel": message.channel, "dirigent.correlation_id": message.corr_id}
        with correlated(message.corr_id), tracing.begin("receive message", told, kind="consumer", of=message.corr_id):
            await self._hear(message)

    async def _hear(self, message: InboundMessage) -> None:
        session = await self._orchestrator.sessions.open(message.dest.session_id, message.language)
        await self._store.touch_session(session.id, session.folder, message.dest.to_json())
        saved = await self._intake.take_files(session, message)
        command = commands.parse(message.text)
        if command is not None and command.name == "/run" and self._pipelines is not None:
            await self._run_pipeline(session, message, command.rest)
            await self._store.heard(message.id)
            return
        if command is not None and (
            await self._taken(message, command) or await self._obeyed(session, message, command)
        ):
            await self._store.heard(message.id)
            return
        if command is None and await self._settled(session, message, saved):
            await self._store.heard(message.id)
            return
        question = await self._answered_by(session, message)
        if question is not None and await self._orchestrator.answer_question(
            question.id,
            _chosen(question, message.text),
            answerer(message.user_id, trusted=message.trusted),
            inbox_id=message.id or None,
        ):
            return
        if command is None and await self._taken(message, command):
            await self._store.heard(message.id)
            return
        await self._open_run(session, message, Origin.COMMAND if command else Origin.MESSAGE)

    async def _settled(self, session: Session, message: InboundMessage, saved: list[str]) -> bool:
        """Take what answers something, comments on something, or holds no words; False for what may be a request."""
        for answer in self.asking:
            if await answer(message, saved):
                return True
        if message.text.strip():
            return await self._comments(message)
        if quote := await self._intake.keep_quote(session, message):
            saved.append(quote)
        if saved or not message.attachments:  # about files that could not be had, the channel has told already
            text = about_files(saved) if saved else "I can work with text and files; send me one."
            await self._say(message, text)
        return True

    async def begin(self, message: InboundMessage) -> Run:
        """Open a run for a message, whatever else is going on, and return it; heard again, it is the same run."""
        session = await self._orchestrator.sessions.open(message.dest.session_id, message.language)
        return await self._open_run(session, message, Origin.MESSAGE)

    async def _open_run(self, session: Session, message: InboundMessage, origin: Origin, **fields: Any) -> Run:
        await self._intake.keep_quote(session, message)
        return await self._orchestrator.begin_run(
            session.id,
            message.text.strip(),
            message.dest,
            origin=origin,
            inbox_id=message.id or None,
            user_id=message.user_id,
            provenance=USER if message.trusted else Provenance.of(f"member:{message.user_id}", trusted=False),
            **fields,
        )

    async def _run_pipeline(self, session: Session, message: InboundMessage, rest: str) -> None:
        """Open a run of a pipeline, or say what is wrong with it, its name or its inputs."""
        assert self._pipelines is not None
        try:
            name, inputs = parse_request(rest)
            ready = await self._pipelines.ready(name, session.profile)
            await self._orchestrator.sessions.fetch(session)
            given = ready.given(inputs, session.workspace)
        except DirigentError as error:
            await self._say(message, f"{error.message}\n{error.hint}".strip())
            return
        await self._open_run(session, message, Origin.COMMAND, given=given, title=ready.name, source=ready.source)

    async def _listed_pipelines(self, _session: Session, _rest: str) -> str:
        found = await asyncio.to_thread(self._pipelines.listed) if self._pipelines is not None else []
        lines = [f"`{name}` — {about}" for name, about in found[:50]]
        return "\n".join(lines) or "There are no pipelines: put a YAML file into `pipelines/` of the home."

    async def take_in(self, session: Session, file: Path) -> str:
        """Copy a person's own file into the session's workspace, labelled as theirs; return its name there."""
        return await self._intake.take_file(session, Attachment(file.name, str(file)), trusted=True)

    async def _answered_by(self, session: Session, message: InboundMessage) -> Question | None:
        """Return the question that a text answers: the one replied to, else the newest; in groups the asker's own."""
        if message.text.startswith("/"):
            return None
        waiting = await self._store.open_questions(session.id)
        private = message.dest.chat_type == "private"
        mine = [question for question in waiting if private or question.user_id == message.user_id]
        mine = [question for question in mine if _may_be_meant(question, message)]
        if mine and message.reply_to and await self._is_about_a_plan(message):
            return None
        for question in mine if message.reply_to else ():
            shown = await self._store.get_message(f"question:{question.id}")
            if shown is not None and shown.message_id == message.reply_to:
                return question
        return mine[-1] if mine else None

    async def _is_about_a_plan(self, message: InboundMessage) -> bool:
        """Say whether a message replies to the plan of a run that has not ended: it is no answer to a question then."""
        for run in await self._store.unfinished_runs(message.dest.session_id):
            shown = await self._store.get_message(f"run:{run.id}:plan")
            if shown is not None and message.reply_to == shown.message_id:
                return True
        return False

    async def _comments(self, message: InboundMessage) -> bool:
        """Take an owner's reply to a checkpoint as what should be different, or as the button that it names."""
        approval = await replied_to(self._store, message) if message.trusted and message.reply_to else None
        if approval is None:
            return False
        text = message.text.strip()
        choice = BUTTON_WORDS.get(text.casefold())
        if choice is not None:
            await self._say(message, await self._press_approval(message, approval.id, choice))
            return True
        if approval.comment == text:  # heard again after a crash
            return True
        return bool(await self._orchestrator.decide_approval(approval.id, REVISE, message.user_id, comment=text))

    # --- commands -----------------------------------------------------------------------------------------------
    async def _taken(self, message: InboundMessage, command: commands.Command | None) -> bool:
        """Leave to the doors what is theirs; the first one that wants a message has it."""
        for door in self.doors:
            if command is None:
                if await door.wish(message):
                    return True
            elif command.name in door.commands:
                await door.obey(message)
                return True
        return False

    async def _obeyed(self, session: Session, message: InboundMessage, command: commands.Command) -> bool:
        """Answer a command of Dirigent's own; False for those of plugins."""
        if command.name == "/stop":
            await self._say(message, await self._stop(session, message))
            return True
        if not message.trusted and command.name == "/new":  # it takes something away from everybody in the chat
            await self._say(message, NOT_YOURS)
            return True
        texts = {
            "/start": self._welcome,
            "/help": self._help,
            "/new": self._new,
            "/plan": self._plan,
            "/files": self._files,
            "/pipelines": self._listed_pipelines,
        }
        answer = texts.get(command.name)
        if answer is None:
            if self._of_a_plugin(session, command.name[1:]):
                return False
            await self._say(message, f"I don't know {command.name}. /help shows what I understand.")
            return True
        await self._say(message, await answer(session, command.rest))
        return True

    def _of_a_plugin(self, session: Session, name: str) -> bool:
        if name in self._orchestrator.get_plugin_commands(session.profile.model_dump()):
            return True
        return any(spec.name == name for spec in self._catalogue.tools(session.profile))

    async def _welcome(self, session: Session, rest: str) -> str:
        hello = "👋 I plan tasks, ask when unsure, then do them."
        return "\n".join([hello, *([self.about] if self.about else []), "", await self._help(session, rest)])

    async def _help(self, session: Session, _rest: str) -> str:
        found = self._orchestrator.get_plugin_commands(session.profile.model_dump())
        plugin_commands = {name: str(entry.get("description", "")).split("\n")[0] for name, entry in found.items()}
        return commands.help_text(plugin_commands, self._examples(session), session.language)

    def _examples(self, session: Session) -> list[str]:
        """Return a few requests that this installation can carry out, from the tools' own examples."""
        return examples_for(PlanRequest("", tools=tuple(self._catalogue.tools(session.profile))))

    async def _stop(self, session: Session, message: InboundMessage) -> str:
        running = await self._store.unfinished_runs(session.id)
        own = [run for run in running if message.trusted or run.user_id == message.user_id]
        for run in own:
            await self._orchestrator.stop_run(run)
        if own:
            return ""
        return NOT_YOURS if running else "Nothing is running."

    async def _new(self, session: Session, _rest: str) -> str:
        await self._orchestrator.sessions.clear_history(session)
        return "A fresh start. Files and memory are as they were."

    async def _plan(self, session: Session, _rest: str) -> str:
        runs = await self._store.recent_runs(session.id, 1)
        if not runs:
            return "There is no plan yet."
        records = await self._store.get_steps(runs[0].id)
        lines = [f"{n}. {record.step.label} — {record.status.lower()}" for n, record in enumerate(records, 1)]
        return "\n".join([f"🗺 {runs[0].title or runs[0].request} ({runs[0].status.lower()})", *lines[:50]])

    async def _files(self, session: Session, _rest: str) -> str:
        await self._orchestrator.sessions.fetch(session)
        with Workspace(session.workspace) as workspace:
            names = workspace.list_files()
        more = f"\n… and {len(names) - 50} more" if len(names) > 50 else ""
        return "\n".join(f"`{name}`" for name in names[:50]) + more if names else "There are no files here yet."

    # --- presses ------------------------------------------------------------------------------------------------
    async def press(self, message: InboundMessage) -> str:
        """Act on a button; see Hearer.press."""
        tally.count("messages_received", message.channel, "press")
        with correlated(message.corr_id):
            return await self._pressed(message)

    async def _pressed(self, message: InboundMessage) -> str:
        kind, _, rest = message.action.partition("/")
        name, _, choice = rest.partition("/")
        if kind == "q":
            return await self._press_question(message, name, choice)
        if kind == "a":
            return await self._press_approval(message, name, choice)
        if kind == "b":
            return await presses.together(self._orchestrator, self._store, message, name, choice)
        if kind == "r" and choice == "stop":
            return await self._press_stop(message, name)
        for door in self.doors:
            if kind in door.actions:
                return await door.press(message)
        return "This button is no longer known."

    async def _press_question(self, message: InboundMessage, question_id: str, choice: str) -> str:
        question = await self._store.get_question(question_id)
        if question is None or question.session_id != message.dest.session_id:
            return TOO_LATE
        if message.dest.chat_type != "private" and question.user_id not in {"", message.user_id}:
            return "Only the person who asked may answer this."
        if question.kind in OWNERS_ONLY and not message.trusted:
            return NOT_YOURS
        special = {"back": BACK} if question.kind in {REVISION, CHANGE, EDIT} else {"you": YOU_DECIDE, "skip": SKIPPED}
        if choice in special:
            answer = special[choice]
        elif choice.isdecimal() and int(choice) < len(question.options):
            answer = question.options[int(choice)]
        else:
            return "This choice is no longer known."
        by = answerer(message.user_id, trusted=message.trusted)
        settled = await self._orchestrator.answer_question(question_id, answer, by)
        return f"✓ {answer}" if settled else TOO_LATE

    async def _press_approval(self, message: InboundMessage, approval_id: str, choice: str) -> str:
        if not message.trusted:
            return NOT_YOURS
        approval = await self._store.get_approval(approval_id)
        if approval is None or approval.session_id != message.dest.session_id:
            return TOO_LATE
        if pressed := await presses.one(self._orchestrator, approval, choice, message.user_id):
            return pressed
        if choice not in approval.choices:
            return "This choice is no longer known."
        if choice == REVISE:
            asked = await self._orchestrator.ask_for_revision(approval, message.user_id)
            return asked.text if asked is not None else TOO_LATE
        settled = await self._orchestrator.decide_approval(approval_id, choice, message.user_id)
        allowed, denied = ("Approved", "Rejected") if approval.tool == CHECKPOINT else ("Allowed", "Denied")
        said = {"allow": allowed, TASK: "Allowed for this task"}
        return TOO_LATE if settled is None else said.get(choice, denied)

    async def _press_stop(self, message: InboundMessage, ref: str) -> str:
        run = await self._store.find_run(ref)
        if run is None or run.session_id != message.dest.session_id or run.status in FINAL:
            return "It has ended already."
        if not message.trusted and run.user_id != message.user_id:
            return NOT_YOURS
        return await self._orchestrator.stop_run(run)

    async def _say(self, message: InboundMessage, text: str) -> None:
        if text:
            notice = OutboundMessage(
                message.dest,
                MessageKind.NOTICE,
                message.reply_key,
                {"text": text},
                session_id=message.dest.session_id,
            )
            await self._store.post(notice)


def _may_be_meant(question: Question, message: InboundMessage) -> bool:
    """True when a text may answer the question; about effects and money, an owner chooses among the options."""
    if question.kind in {REVISION, EDIT}:
        return message.trusted
    if question.kind == CHANGE:
        return question.user_id == message.user_id
    return question.kind not in OWNERS_ONLY or (message.trusted and _chosen(question, message.text) in question.options)


def _chosen(question: Question, text: str) -> str:
    """Return the option that a text names by its number or its words, or the text itself."""
    number = text.strip().rstrip(".)")
    if number.isdecimal() and 1 <= int(number) <= len(question.options):
        return question.options[int(number) - 1]
    said = text.strip().casefold()
    return next((option for option in question.options if option.casefold() == said), text.strip())
