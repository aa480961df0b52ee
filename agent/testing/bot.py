"""A whole Dirigent in one process for tests: it hears, plans with a scripted model, runs tools, and answers."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from agent.app import App, build_app
from agent.catalogue import Catalogue
from agent.config import AppConfig
from agent.domain.messages import Attachment, Destination, InboundMessage, MessageKind, OutboundMessage
from agent.mcp.plugins import mcp_plugins
from agent.parts import make_engine
from agent.testing.engines import settings_of
from agent.testing.scripted import ScriptedLLM
from plugins.api import Output, ToolFailure, spec_of
from plugins.loader import discover, from_functions
from sandbox.api import FileChange, Job, JobResult, JobStatus, Progress
from sandbox.workspace import Workspace

if TYPE_CHECKING:
    from types import TracebackType

    from agent.channels.base import Channel
    from agent.domain.run import Question, Run, StepRecord

UPDATES = count(1)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the text, the names of the files, and how the run ended (a Status value)."""

    text: str
    files: tuple[str, ...] = ()
    status: str = ""


@dataclass(slots=True)
class PlainContext:
    """A tool's context in tests: what it was given and what it handed over."""

    workdir: Path
    secrets: dict[str, str] = field(default_factory=dict)
    artifacts: list[tuple[str, str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def artifact(self, path: str | Path, title: str = "") -> str:
        """Note a file that is handed over."""
        self.artifacts.append((str(path), title))
        return str(path)

    def progress(self, text: str, done: float | None = None, total: float | None = None) -> None:
        """Note progress."""
        self.said.append(text if done is None else f"{text} {done}/{total}")

    def secret(self, name: str) -> str:
        """Return a secret of the test."""
        return self.secrets[name]

    async def inside(self, function: Callable[..., Any], /, **arguments: Any) -> Any:
        """Call the function right here."""
        return function(**arguments)


class PlainBoxes:
    """Stands in for the sandbox: runs the tools' functions in this process, in the workspace. For tests only."""

    def __init__(self, functions: Iterable[Callable[..., Any]]) -> None:
        self._functions = {name: function for function in functions for name in _names_of(function)}

    async def run(
        self,
        session_id: str,  # noqa: ARG002
        workspace: Path,
        job: Job,
        on_progress: Callable[[Progress], None] | None = None,  # noqa: ARG002
    ) -> JobResult:
        """Call the job's function and describe what it did, as the sandbox would."""
        assert job.tool is not None, "PlainBoxes runs tools only"
        function = self._functions[job.tool.function]
        ctx = PlainContext(workspace)
        with Workspace(workspace) as box:
            before = box.snapshot()
            try:
                value = await _called(function, ctx, dict(job.tool.arguments), workspace)
            except ToolFailure as failure:
                said = {"type": "ToolFailure", "message": failure.message, "hint": failure.hint, "traceback": ""}
                return JobResult(JobStatus.EXIT, failure=said, changes=box.diff(before, box.snapshot()), rung="plain")
            except Exception as error:
                said = {"type": type(error).__name__, "message": str(error), "hint": "", "traceback": ""}
                return JobResult(JobStatus.EXIT, failure=said, changes=box.diff(before, box.snapshot()), rung="plain")
            return _result(value, ctx, box.diff(before, box.snapshot()))

    def opened(self) -> int:
        """Return how many boxes are open: none."""
        return 0

    async def close(self) -> None:
        """Nothing to close."""


def _names_of(function: Callable[..., Any]) -> set[str]:
    """Return the names that a job may call a function by: its own, and that when it was declared."""
    spec = spec_of(function)
    return {function.__name__, *([spec.function_name] if spec is not None else [])}


async def _called(function: Callable[..., Any], ctx: PlainContext, args: dict[str, Any], workspace: Path) -> Any:
    spec = spec_of(function)
    first = (ctx,) if spec is not None and spec.wants_context else ()
    before = Path.cwd()
    os.chdir(workspace)
    try:
        value = function(*first, **args)
        return await value if inspect.isawaitable(value) else value
    finally:
        os.chdir(before)


def _result(value: Any, ctx: PlainContext, changes: tuple[FileChange, ...]) -> JobResult:
    output = value if isinstance(value, Output) else Output(value)
    files = (*ctx.artifacts, *((path, "") for path in output.files))
    return JobResult(
        JobStatus.EXIT,
        value=output.value,
        text=output.text,
        files=files,
        partial=output.partial,
        cost=output.cost,
        changes=changes,
        rung="plain",
    )


class Bot:
    """Dirigent with a scripted model. Use it as an async context manager, or through the `bot` fixture of our tests.

    `tools` are functions marked with `@tool`; `builtin` adds the plugins that come with Dirigent, and `mcp` servers
    whose tools were accepted (with both in the real sandbox). `offline=True` leaves the model out. `statuses` holds
    step id → status of the newest run, as of the last answer. `mode` is `policy.mode` where the settings say nothing of
    it.
    """

    mode = "normal"

    def __init__(
        self,
        home: Path,
        tools: Iterable[Callable[..., Any]] = (),
        *,
        llm: ScriptedLLM | None = None,
        builtin: bool = False,
        offline: bool = False,
        **settings: Any,
    ) -> None:
        self.llm = llm or ScriptedLLM()
        self.statuses: dict[str, str] = {}
        self.dest = Destination("test", "1")
        self.config = AppConfig(home=home, **{"policy": {"mode": self.mode}, **settings_of(home), **settings})
        self._tools = list(tools)
        plugins = [from_functions("test", self._tools)] if self._tools else []
        found = discover(entry_points=False) if builtin else []
        boxes: Any = None if builtin or self.config.mcp else PlainBoxes(self._tools)
        catalogue = Catalogue([*plugins, *found, *mcp_plugins(self.config)])
        self.app: App = build_app(
            self.config,
            llm=None if offline else self.llm,
            catalogue=catalogue,
            boxes=boxes,
            engine=make_engine(self.config, works=True),
        )

    def as_installed(self) -> Self:
        """Build the app anew as the command line does: it finds the plugins by itself, and runs them in the sandbox."""
        self.app = build_app(self.config, llm=self.llm, engine=make_engine(self.config, works=True))
        return self

    async def __aenter__(self) -> Self:
        await self.app.start()
        if self.app.engine.elsewhere:  # there it is whoever is at the desk that does it
            await self.app.orchestrator.versions.finish_interrupted(self.app.orchestrator.sessions.open)
        await self.app.orchestrator.resume()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.app.stop()

    @contextlib.asynccontextmanager
    async def sending(self, channel: Channel) -> AsyncGenerator[None]:
        """Have what is posted delivered by a channel, until the block ends and everything is out."""
        from agent.channels.outbox import OutboxSender

        task = asyncio.create_task(OutboxSender(self.app.store, [channel]).run())
        try:
            yield
            while (await self.app.store.backlog()).outbox:  # noqa: ASYNC110  # other processes may send, too
                await asyncio.sleep(0.01)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    # --- what a person does -------------------------------------------------------------------------------------
    async def hears(self, text: str, files: Iterable[Path] = (), **fields: Any) -> Answer:
        """Say something and wait until there is nothing left to do: the answer, or "" while a question is open."""
        await self.receives(text, files, **fields)
        return await self.answer()

    async def receives(self, text: str, files: Iterable[Path] = (), **fields: Any) -> InboundMessage:
        """Say something and return at once."""
        attached = tuple(Attachment(path.name, str(path), size=path.stat().st_size) for path in files)
        message = InboundMessage(
            "test", str(next(UPDATES)), self.dest, user_id="1", text=text, attachments=attached, **fields
        )
        (stored,) = await self.app.store.receive([message])
        await self.app.reception.hear(stored)
        return stored

    async def presses(self, action: str, **fields: Any) -> str:
        """Press a button and return what the bot shows for it."""
        message = InboundMessage("test", str(next(UPDATES)), self.dest, user_id="1", action=action, **fields)
        return await self.app.reception.press(message)

    async def taps(self, label: str, **fields: Any) -> str:
        """Press the newest button whose label holds `label`. Raises AssertionError when there is none."""
        for message in reversed(await self.shown()):
            for button in (button for row in message.payload.get("buttons", ()) for button in row):
                if label in button["label"]:
                    return await self.presses(button["action"], **fields)
        raise AssertionError(f"there is no button {label!r}")

    async def chooses(self, option: str) -> Answer:
        """Answer the open question with one of its options, by button, and wait for what comes of it."""
        question = await self.question()
        assert question is not None, "no question is open"
        await self.presses(f"q/{question.id}/{question.options.index(option)}")
        return await self.answer()

    # --- what a person sees -------------------------------------------------------------------------------------
    async def answer(self) -> Answer:
        """Wait until nothing is being worked on and return the newest run's answer."""
        await self.app.engine.idle()
        run = await self.last_run()
        files = [m for m in await self.shown(MessageKind.FILES) if m.run_id == run.id]
        self.statuses = {record.step.id: record.status.value for record in await self.steps()}
        names = tuple(Path(path).name for message in files for path in message.payload["paths"])
        return Answer(run.answer, names, run.status.value)

    async def last_run(self) -> Run:
        """Return the newest run."""
        return (await self.app.store.recent_runs(self.dest.session_id, 1))[0]

    async def steps(self) -> list[StepRecord]:
        """Return the newest run's steps as the journal has them."""
        return await self.app.store.get_steps((await self.last_run()).id)

    async def question(self) -> Question | None:
        """Return the newest open question."""
        found = await self.app.store.open_questions(self.dest.session_id)
        return found[-1] if found else None

    async def shown(self, kind: MessageKind | None = None) -> list[OutboundMessage]:
        """Return the messages of the chat, oldest first."""
        messages = await self.app.store.messages_of(self.dest.session_id)
        return [message for message in reversed(messages) if kind is None or message.kind is kind]

    @property
    def workspace(self) -> Path:
        """The session's workspace."""
        return self.config.folder / "sessions" / "test_1" / "work"

    async def idle(self) -> None:
        """Wait until nothing is being worked on."""
        with contextlib.suppress(TimeoutError):
            await self.app.engine.idle()
