"""A terminal with the real journal and the real sender; the agent behind it does what the test says."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent.channels.outbox import OutboxSender
from agent.channels.terminal import Terminal
from agent.channels.terminal.json_face import JsonFace
from agent.channels.terminal.keyboard import Interrupted
from agent.domain.messages import Destination, InboundMessage, MessageKind, OutboundMessage
from agent.domain.run import Question, Run
from agent.domain.states import Status
from agent.store.sql import SqlStore

DEST = Destination("terminal", "main")
Story = Callable[["Agent", InboundMessage], Awaitable[None]]


class Keys:
    """Types what it was given, and notes what it was asked; an exception in the list is raised."""

    def __init__(self, *lines: Any, can_answer: bool = True) -> None:
        self.lines = list(lines)
        self.prompts: list[str] = []
        self.can_answer = can_answer
        self.meanwhile = False

    async def ask(self, prompt: str, below: Any = None) -> str | None:
        self.prompts.append(prompt)
        line = self.lines.pop(0) if self.lines else None
        if line is Interrupted:
            raise Interrupted
        return line


@dataclass
class Agent:
    """Stands where the orchestrator does: opens a run for a message and tells the test's story about it."""

    store: SqlStore
    story: Story
    heard: list[InboundMessage] = field(default_factory=list)
    pressed: list[str] = field(default_factory=list)
    tasks: asyncio.TaskGroup = field(default_factory=asyncio.TaskGroup)
    run: Run | None = None
    waiting: dict[str, asyncio.Event] = field(default_factory=dict)
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def hear(self, message: InboundMessage) -> None:
        self.heard.append(message)
        if message.text == "/stop":
            await self.store.heard(message.id)
            self.stop.set()
            return
        opened = await self.store.open_questions(DEST.session_id)
        if opened:
            await self.store.answer_question(opened[-1].id, message.text, message.user_id)
            await self.store.heard(message.id)
            self.woken(opened[-1].id)
            return
        run = await self.store.open_run(Run(DEST.session_id, message.text, DEST, inbox_id=message.id))
        leased = await self.store.lease_run(run.id, "test", 60)
        assert leased is not None
        await self.store.change_run(leased.id, leased.epoch, status=Status.READY)
        await self.store.change_run(leased.id, leased.epoch, status=Status.RUNNING)
        self.run = leased
        self.tasks.create_task(self.story(self, message))

    async def press(self, message: InboundMessage) -> str:
        self.pressed.append(message.action)
        kind, asked_id, said = message.action.split("/")
        if kind == "a":
            await self.store.decide_approval(asked_id, said, message.user_id)
        else:
            question = await self.store.get_question(asked_id)
            assert question is not None
            await self.store.answer_question(asked_id, question.options[int(said)], message.user_id)
        if asked_id in self.waiting:
            self.woken(asked_id)
        elif kind == "q":
            await self.carry_on(question)
        return f"noted {said}"

    async def carry_on(self, question: Question) -> None:
        """Finish a run of an earlier process."""
        self.run = await self.store.lease_run(question.run_id, "test", 60)
        assert self.run is not None
        await self.store.change_run(self.run.id, self.run.epoch, status=Status.RUNNING)
        await self.finish("Carried on.")

    def woken(self, asked_id: str) -> None:
        if asked_id in self.waiting:
            self.waiting[asked_id].set()

    def message(self, kind: MessageKind, key: str, **payload: Any) -> OutboundMessage:
        assert self.run is not None
        return OutboundMessage(DEST, kind, f"{self.run.id}:{key}", payload, DEST.session_id, self.run.id)

    async def post(self, kind: MessageKind, key: str, **payload: Any) -> None:
        await self.store.post(self.message(kind, key, **payload))

    async def ask(self, text: str, *options: str, wait: bool = True) -> str | None:
        """Ask, wait for the answer, go on."""
        assert self.run is not None
        asked = Question(f"Q{self.run.id}", self.run.id, "s1", DEST.session_id, text, options)
        payload = {"id": asked.id, "question": text, "options": list(options)}
        await self.store.ask(asked, None, self.message(MessageKind.QUESTION, "q", **payload))
        self.waiting[asked.id] = asyncio.Event()
        await self.store.change_run(self.run.id, self.run.epoch, status=Status.WAITING_APPROVAL)
        if not wait:
            return None
        await self.waiting[asked.id].wait()
        await self.store.change_run(self.run.id, self.run.epoch, status=Status.RUNNING)
        answered = await self.store.get_question(asked.id)
        assert answered is not None
        return answered.answer

    async def finish(self, text: str, status: Status = Status.COMPLETED, files: tuple[str, ...] = ()) -> None:
        assert self.run is not None
        messages = [self.message(MessageKind.ANSWER, "answer", text=text, final=True)]
        if files:
            messages.append(self.message(MessageKind.FILES, "files", paths=list(files), caption=""))
        await self.store.finish_run(self.run.id, self.run.epoch, status=status, answer=text, messages=messages)


@dataclass
class Room:
    """Everything that a test looks at."""

    terminal: Terminal
    agent: Agent
    store: SqlStore
    out: io.StringIO

    @property
    def shown(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.getvalue().splitlines()]

    def kinds(self) -> list[str]:
        return [line["type"] for line in self.shown]


@pytest.fixture
def opened(tmp_path: Path) -> Callable[..., Any]:
    """`async with opened(story, Keys(...)) as room:`; the same journal each time it is opened in a test."""

    @contextlib.asynccontextmanager
    async def open_room(story: Story, keys: Keys | None = None, face: Any = None) -> AsyncIterator[Room]:
        out = io.StringIO()
        here = tmp_path / "here"
        here.mkdir(exist_ok=True)
        store = SqlStore(tmp_path / "journal.db")
        await store.open()
        terminal = Terminal(
            store=store,
            face=face or JsonFace(out),
            keyboard=keys or Keys(can_answer=False),
            dest=DEST,
            workspace=tmp_path / "work",
            incoming=tmp_path / "incoming",
            here=here,
        )
        agent = Agent(store, story)
        terminal.attach(agent)
        sender = asyncio.create_task(OutboxSender(store, [terminal]).run())
        try:
            async with asyncio.timeout(60), agent.tasks:
                yield Room(terminal, agent, store, out)
                await terminal.close()
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)
            await store.close()

    return open_room
